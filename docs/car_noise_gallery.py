"""The pictures and figures of docs/car-noise.md: procedural car noise beside real recordings.

Run in the repository: python docs/car_noise_gallery.py REAL
REAL is a folder of recordings with noise_torcs, noise_blanket and noise_aircon_street in it.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import numpy as np
from matplotlib import pyplot as plt
from PIL import Image
from scipy.signal import spectrogram, welch

from speechbench import audio
from speechbench.audio import SAMPLING_RATE, Samples
from speechbench.seeds import generator_of
from synth.car.drive import Drive, draw_drive
from synth.car.events import Horn, Indicator, Passing, Wiper
from synth.car.level import a_weighting_db, full_scale
from synth.car.motion import motion_of
from synth.car.render import render
from synth.car.vehicle import Car, draw_car

HERE = Path(__file__).parent
CARS = 24
SECONDS = 12.0
COLOURS = 64  # of a picture's palette
COMPARED_HZ = 2000.0  # the recording of a road ends there, as if cut off
BANDS_HZ = 1000.0 * 2.0 ** (np.arange(-14, 9) / 3.0)  # third octaves, 40 Hz to 6.3 kHz

LAUNCH = Drive("city", ((0, 0), (0.5, 0), (11, 85), (12, 85)), 0.1, gust_db=1.0)
STEADY = Drive("highway", ((0, 110), (12, 110)), 0.05)
REVVING = Drive("highway", ((0, 180), (12, 180)), 0.3)  # at about 4,300 rpm, as the recorded engines
BY_RAIN = Drive("rain", ((0, 40), (12, 40)), 0.0, surface="wet asphalt", rain_dba=52, drops_per_second=40, wipes_per_minute=50)
STILL = Drive("parked", ((0, 0), (12, 0)), 0.0, running=False)
BLOWER = replace(STILL, blower=0.8)
SHOWER = replace(STILL, rain_dba=62, drops_per_second=100)
JOINTS = replace(STEADY, surface="concrete", joint_metres=5.5, joint_db=4.0)
COBBLES = Drive("city", ((0, 30), (12, 30)), 0.05, surface="cobbles")

REAL = {
    "road": ["noise_torcs/road-ride.flac"],
    "engine": [f"noise_torcs/{name}.flac" for name in ("944", "viper_long", "nsx", "ford1b", "lotus", "gt40", "cleanviper")],
    "blower": [f"noise_aircon_street/aircon_{number}.flac" for number in range(3)],
    "rain": ["noise_blanket/rain.flac"],
    "wind": ["noise_blanket/wind.flac"],
    "city": ["noise_blanket/city.flac"],
    "train": ["noise_blanket/train.flac"],
    "street": [f"noise_aircon_street/street_{number}.flac" for number in range(2)],
}


def a_car(number: int) -> Car:
    """One of a fixed set."""
    return draw_car(generator_of(0, "car", f"car-{number:03d}"))


def loud(powertrain: str) -> Car:
    """A car whose engine stands out."""
    cars = [car for car in map(a_car, range(1, 200)) if car.engine.powertrain == powertrain and car.engine.gears <= 5]
    return max(cars, key=lambda car: car.engine.dba - car.body.road_dba)


def of(drive: Drive) -> list[Samples]:
    """A drive in every car."""
    return [render(a_car(number), drive, SECONDS, generator_of(0, "gallery", number)) for number in range(1, CARS + 1)]


def drawn(condition: str) -> list[Samples]:
    """Drives as a corpus has them, one in every car."""
    sounds = []
    for number in range(1, CARS + 1):
        rng = generator_of(0, "gallery", condition, number)
        sounds.append(render(a_car(number), draw_drive(rng, condition, SECONDS), SECONDS, rng))
    return sounds


def quiet_but(car: Car, engine: bool = False, wind: bool = False, road: bool = False) -> Car:
    """A car of which one sound is left, to be set beside a recording of that sound alone."""
    levels = (car.body.road_dba, road), (car.body.wind_dba, wind), (car.engine.dba, engine)
    tyres, air, motor = (level - (0.0 if stays else 60.0) for level, stays in levels)
    body = replace(car.body, road_dba=tyres, wind_dba=air, rattles_per_second=0.0)
    return replace(car, body=body, engine=replace(car.engine, dba=motor))


def alone(drive: Drive, **which: bool) -> list[Samples]:
    """A drive in every car with a combustion engine, all its sounds but one taken away."""
    cars = [car for car in map(a_car, range(1, CARS + 8)) if car.engine.cylinders]
    return [render(quiet_but(car, **which), drive, SECONDS, generator_of(0, "gallery", n)) for n, car in enumerate(cars)]


def real(folder: Path, kind: str) -> list[Samples]:
    """Recordings of one of `REAL`."""
    return [audio.read(folder / name) for name in REAL[kind]]


def third_octaves(samples: Samples) -> np.ndarray:
    """Levels of the bands in dB, relative to the sum of all."""
    hz, density = welch(samples.astype(np.float64), SAMPLING_RATE, nperseg=min(8192, samples.size))
    power = np.array([density[(hz >= c * 2 ** (-1 / 6)) & (hz < c * 2 ** (1 / 6))].sum() for c in BANDS_HZ])
    return 10.0 * np.log10(power / power.sum() + 1e-9)


def level_dba(samples: Samples) -> float:
    """The level at the microphone."""
    hz, density = welch(samples.astype(np.float64), SAMPLING_RATE, nperseg=4096)
    power = (density * 10.0 ** (a_weighting_db(hz) / 10.0)).sum() * hz[1]
    return float(10.0 * np.log10(power) - full_scale(0.0))


def share_below_500(samples: Samples) -> float:
    """The share of the energy."""
    hz, density = welch(samples.astype(np.float64), SAMPLING_RATE, nperseg=2048)
    return float(density[hz < 500].sum() / density.sum())


def crest_db(samples: Samples) -> float:
    """Peak over RMS."""
    return float(20.0 * np.log10(np.abs(samples).max() / np.sqrt(np.mean(np.square(samples, dtype=np.float64)))))


def modulation_db(samples: Samples) -> float:
    """How much the level strays from one 50 ms to the next 50 ms and on: the standard deviation in dB."""
    step = SAMPLING_RATE // 20
    blocks = samples[: samples.size // step * step].reshape(-1, step)
    return float(np.std(10.0 * np.log10(np.mean(np.square(blocks, dtype=np.float64), axis=1) + 1e-14)))


def save(figure: plt.Figure, name: str) -> None:
    """As a PNG with few colours, so that the repository stays small."""
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=80)
    plt.close(figure)
    path = HERE / f"{name}.png"
    Image.open(buffer).convert("RGB").quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
        path, optimize=True
    )
    print(f"{path.name}: {path.stat().st_size / 1024:.0f} KB", file=sys.stderr)


def panel(axes: plt.Axes, samples: Samples, title: str) -> None:
    """One spectrogram, over 70 dB."""
    hz, times, density = spectrogram(samples.astype(np.float64), SAMPLING_RATE, nperseg=1024, noverlap=768)
    level = 10.0 * np.log10(density + 1e-16)
    top = np.percentile(level, 99.7)
    axes.pcolormesh(times, hz[1:], level[1:], vmin=top - 70, vmax=top, cmap="magma", rasterized=True)
    axes.set_yscale("log")
    axes.set(ylim=(30, 8000), yticks=(50, 100, 200, 500, 1000, 2000, 5000), title=title)
    axes.set_yticklabels(("50", "100", "200", "500", "1k", "2k", "5k"))
    axes.minorticks_off()
    axes.title.set_fontsize(9)
    axes.tick_params(labelsize=7)


def gallery(folder: Path) -> None:
    """Spectrograms: procedural above, real below."""
    rng = np.random.default_rng
    petrol, electric, any_car = loud("petrol4"), loud("electric"), a_car(3)
    wiped = max(map(a_car, range(1, 60)), key=lambda car: car.equipment.wiper_dba - car.body.road_dba)
    procedural = {
        "petrol car with a loud engine: gear changes": render(petrol, LAUNCH, SECONDS, rng(1)),
        "electric car with a loud motor: whine": render(electric, LAUNCH, SECONDS, rng(2)),
        "110 km/h, asphalt": render(petrol, STEADY, SECONDS, rng(3)),
        "110 km/h, concrete joints": render(any_car, JOINTS, 4.0, rng(4)),
        "30 km/h, cobbles, rattles": render(any_car, COBBLES, 4.0, rng(5)),
        "40 km/h in rain, wipers 50/min": render(wiped, BY_RAIN, SECONDS, rng(6)),
        "rain on a parked car": render(any_car, SHOWER, 6.0, rng(7)),
        "blower": render(any_car, BLOWER, 6.0, rng(8)),
        "event: oncoming car at 130 km/h": Passing(6.0, 3.0, 3.5, 130.0, 62.0, 900.0, -6.0, 110.0, -3.0).render(
            any_car, rng(9)
        ),
        "event: indicator 80/min": Indicator(4.0, 80.0).render(any_car, rng(10)),
        "event: wipers 55/min": Wiper(5.0, 55.0).render(any_car, rng(11)),
        "event: horn": Horn(((0.1, 0.4), (0.6, 1.4)), -2.5).render(any_car, rng(12)),
    }
    recorded = {name: audio.read(folder / file)[: 12 * SAMPLING_RATE] for name, file in {
        "real: road rumble (loop)": "noise_torcs/road-ride.flac",
        "real: Porsche 944 engine (loop)": "noise_torcs/944.flac",
        "real: Viper engine (loop)": "noise_torcs/viper_long.flac",
        "real: rain outdoors": "noise_blanket/rain.flac",
        "real: city traffic outdoors": "noise_blanket/city.flac",
        "real: inside a train": "noise_blanket/train.flac",
        "real: air conditioner": "noise_aircon_street/aircon_1.flac",
        "real: street, cars pass": "noise_aircon_street/street_1.flac",
    }.items()}  # fmt: skip
    figure, grid = plt.subplots(5, 4, figsize=(13, 13), layout="constrained")
    for axes, (title, samples) in zip(grid.flat, (procedural | recorded).items(), strict=True):
        panel(axes, samples, title)
    save(figure, "car-noise-gallery")


def bands(axes: plt.Axes, sounds: Sequence[Samples], label: str, colour: str) -> None:
    """Each recording thin, or the spread of many, and their mean."""
    levels = np.array([third_octaves(samples) for samples in sounds])
    if len(levels) > 8:
        axes.fill_between(BANDS_HZ, *np.percentile(levels, (5, 95), axis=0), color=colour, alpha=0.2, linewidth=0)
    else:
        axes.plot(BANDS_HZ, levels.T, color=colour, linewidth=0.5)
    axes.plot(BANDS_HZ, levels.mean(axis=0), color=colour, linewidth=2, label=f"{label} ({len(levels)})")


def pairs(folder: Path) -> dict[str, tuple[list[Samples], list[Samples]]]:
    """What can be compared: procedural and real, of the same kind of sound."""
    return {
        "tyres and road": (alone(STEADY, road=True), real(folder, "road")),
        "engine alone": (alone(REVVING, engine=True), real(folder, "engine")),
        "blower": (of(BLOWER), real(folder, "blower")),
        "rain": (of(SHOWER), real(folder, "rain")),
        "wind alone": (alone(STEADY, wind=True), real(folder, "wind")),
    }


def spectra(compared: dict[str, tuple[list[Samples], list[Samples]]], folder: Path) -> None:
    """Long-term third-octave spectra."""
    figure, grid = plt.subplots(2, 3, figsize=(13, 7), layout="constrained", sharex=True, sharey=True)
    for axes, (title, (made, recorded)) in zip(grid.flat, compared.items(), strict=False):
        bands(axes, made, "procedural", "tab:blue")
        bands(axes, recorded, "real", "tab:red")
        axes.set(title=title)
    axes = grid.flat[-1]
    for condition, colour in {"city": "tab:green", "highway": "tab:blue", "rain": "tab:purple"}.items():
        bands(axes, drawn(condition), condition, colour)
    bands(axes, [sound for kind in ("city", "train", "street") for sound in real(folder, kind)], "real traffic", "tab:red")
    axes.set(title="whole recordings; real ones are not from cabins")
    for axes in grid.flat:
        axes.set(xscale="log", ylim=(-55, 0), xlabel="Hz", ylabel="dB re sum")
        axes.legend(fontsize=8)
    save(figure, "car-noise-spectra")


def levels_by_speed() -> None:
    """Level against speed, as the model has it and as it is heard."""
    figure, axes = plt.subplots(figsize=(6.5, 4), layout="constrained")
    speeds = (30, 40, 50, 65, 80, 100, 115, 130)
    rows = []
    for number in range(1, CARS + 1):
        drives = [Drive("highway", ((0, kmh), (4, kmh)), 0.0) for kmh in speeds]
        rows.append(
            [level_dba(render(a_car(number), drive, 4.0, generator_of(1, number, drive.speed[0][0]))) for drive in drives]
        )
        axes.plot(speeds, rows[-1], linewidth=0.8, color="tab:red" if rows[-1][5] > 70 else "tab:blue")
    for at, low, high in ((50, 55, 62), (100, 63, 70), (100, 70, 78), (130, 74, 83)):
        axes.plot(
            (at, at), (low, high), color="black" if (low, at) in ((55, 50), (63, 100)) else "tab:red", linewidth=6, alpha=0.4
        )
    slope = np.polyfit(np.log10(np.tile(speeds, CARS)), np.array(rows).ravel(), 1)[0]
    axes.set(xscale="log", xlabel="km/h", ylabel="dB(A)", title=f"{CARS} cars, smooth asphalt: {slope:.1f} dB per decade")
    axes.set_xticks(speeds, [str(speed) for speed in speeds])
    axes.minorticks_off()
    save(figure, "car-noise-levels")


def table(compared: dict[str, tuple[list[Samples], list[Samples]]]) -> None:
    """The figures of the comparison, in Markdown."""
    figures: dict[str, Callable[[Samples], float]] = {
        "energy below 500 Hz": share_below_500,
        "crest factor, dB": crest_db,
        "level strays by, dB": modulation_db,
    }
    print(f"| | third octaves differ by, dB | nearest car, dB | cars among each other, dB | {' | '.join(figures)} |")
    print("|---" * (4 + len(figures)) + "|")
    for title, both in compared.items():
        made, recorded = ([third_octaves(samples) for samples in sounds] for sounds in both)
        goal, ours = np.mean(recorded, axis=0), np.mean(made, axis=0)
        nearest = min(distance_db(one, goal) for one in made)
        spread = np.median([distance_db(one, ours) for one in made])
        cells = [f"{distance_db(ours, goal):.1f}", f"{nearest:.1f}", f"{spread:.1f}"]
        for figure in figures.values():
            medians = (np.median([figure(samples) for samples in sounds]) for sounds in both)
            cells.append(" / ".join(f"{median:.{2 if figure is share_below_500 else 1}f}" for median in medians))
        print(f"| {title} | {' | '.join(cells)} |")


def distance_db(one: np.ndarray, other: np.ndarray) -> float:
    """The RMS difference of two third-octave spectra after the best gain, up to `COMPARED_HZ`."""
    return float(np.std((one - other)[BANDS_HZ < COMPARED_HZ]))


def main() -> None:
    """Pictures into this folder, the table to the terminal."""
    folder = Path(sys.argv[1])
    compared = pairs(folder)
    table(compared)
    spectra(compared, folder)
    gallery(folder)
    levels_by_speed()
    print(f"shifts of the petrol car: {motion_of(loud('petrol4'), LAUNCH, SECONDS).shifts}", file=sys.stderr)


if __name__ == "__main__":
    main()
