"""The physics of procedural car noise, measured back from its sound."""

from dataclasses import replace

import numpy as np
import pytest
from made_speech import RATE, contents
from scipy.ndimage import uniform_filter1d
from scipy.signal import stft, welch

from speechbench import audio, levels, manifest
from speechbench.seeds import generator_of
from synth import car as cars
from synth.car import engine, road
from synth.car.broadband import HZ, frame_times, noise
from synth.car.drive import CONDITIONS, KINDS, Drive, draw_drive
from synth.car.events import EVENTS, Indicator, Passing, Wiper
from synth.car.level import FULL_SCALE_DB_SPL, a_weighting_db, full_scale, of_exposure, power, shaped
from synth.car.motion import STEP, motion_of
from synth.car.recordings import Take, recording
from synth.car.render import render
from synth.car.strikes import ring
from synth.car.vehicle import draw_car

STEADY = Drive("highway", ((0.0, 100.0), (60.0, 100.0)), 0.0)
PULLS_AWAY = Drive("city", ((0.0, 0.0), (1.0, 0.0), (11.0, 80.0), (20.0, 80.0)), 0.0)


def a_car(number=0, powertrain=None):
    """A drawn car; of a powertrain, the first from a number on."""
    car = draw_car(generator_of(0, "car", number))
    return car if powertrain in (None, car.engine.powertrain) else a_car(number + 1, powertrain)


def only(car, **kept):
    """A car of which some sounds are as good as gone: `road_dba=...` and so on of those that stay."""
    body = replace(car.body, **({"road_dba": -30.0, "wind_dba": -30.0, "self_noise_dba": -30.0} | kept), rattles_per_second=0.0)
    return replace(car, body=body, engine=replace(car.engine, dba=-30.0))


def steady(kmh, seconds=3.0, **keys):
    return replace(STEADY, speed=((0.0, kmh), (seconds, kmh)), **keys)


def sound_of(car, drive, seconds=3.0, seed=0):
    return render(car, drive, seconds, generator_of(seed, "sound"))


def density(samples, size=4096):
    return welch(samples.astype(float), RATE, nperseg=size)


def dba(samples):
    hz, power_density = density(samples)
    return 10 * np.log10((power_density * 10 ** (a_weighting_db(hz) / 10)).sum() * hz[1]) + FULL_SCALE_DB_SPL


def third_octaves(samples):
    hz, power_density = density(samples)
    centres = 1000 * 2.0 ** (np.arange(-12, 9) / 3)
    return np.array(
        [10 * np.log10(power_density[(hz >= c * 2 ** (-1 / 6)) & (hz < c * 2 ** (1 / 6))].mean() + 1e-20) for c in centres]
    )


def envelope_rate(samples, low, high):
    """The strongest rate of the envelope between two rates per minute, and how far it stands above the others' median."""
    squared = np.square(samples.astype(float))
    steps = squared[: squared.size // 160 * 160].reshape(-1, 160).mean(axis=1)
    size = 1 << 16
    strength = np.abs(np.fft.rfft((steps - steps.mean()) * np.hanning(steps.size), size))
    per_minute = np.fft.rfftfreq(size, 0.01) * 60
    inside = (per_minute >= low) & (per_minute <= high)
    return per_minute[inside][np.argmax(strength[inside])], strength[inside].max() / np.median(strength[inside])


# Levels


@pytest.mark.parametrize(
    ("hz", "weight_db"), [(31.62, -39.4), (100, -19.1), (501.2, -3.2), (1000, 0.0), (3981, 1.0), (7943, -1.1)]
)
def test_a_weighting_is_that_of_the_standard(hz, weight_db):
    assert a_weighting_db(np.array([float(hz)]))[0] == pytest.approx(weight_db, abs=0.1)


def test_noise_and_impulses_have_the_level_that_they_are_given():
    samples = 4 * RATE
    spectra = np.tile(power(full_scale(60.0)) * shaped(-HZ / 400, HZ), (frame_times(samples).size, 1))
    assert dba(noise(spectra, samples, np.random.default_rng(0))) == pytest.approx(60.0, abs=0.3)
    second = np.zeros(RATE)
    kernel = of_exposure(ring((900.0, 0.01, 1.0)), 60.0)
    second[4000 : 4000 + kernel.size] = kernel
    weighted = np.fft.irfft(np.fft.rfft(second) * 10 ** (a_weighting_db(np.fft.rfftfreq(RATE, 1 / RATE)) / 20))
    assert 10 * np.log10(np.mean(weighted**2)) == pytest.approx(full_scale(60.0), abs=0.1)


@pytest.mark.slow
def test_the_level_rises_with_the_speed_as_in_real_cars():
    """About 35 dB per decade; 55-62 dB(A) at 50 km/h and 63-70 at 100, up to 78 in noisy cars."""
    speeds = np.array([40.0, 50.0, 70.0, 100.0, 130.0])
    found = np.array([[dba(sound_of(a_car(number), steady(kmh), seed=number)) for kmh in speeds] for number in range(24)])
    slopes = np.polyfit(np.log10(speeds), found.T, 1)[0]
    pooled = np.polyfit(np.log10(np.tile(speeds, 24)), found.ravel(), 1)[0]
    assert 30 < pooled < 40 and slopes.min() > 25 and slopes.max() < 45
    usual = found[found[:, 3] < 70.5]
    assert len(usual) > 12 and found[:, 3].max() < 79 and usual[:, 3].min() > 62
    assert 53 < np.median(usual[:, 1]) < 62 and 64 < np.median(usual[:, 3]) < 70


def test_wind_grows_with_the_fifth_to_sixth_power_and_dominates_at_120():
    ahead = []
    for number in range(8):
        car = a_car(number)
        calm = [steady(kmh, gust_db=0.0) for kmh in (60.0, 120.0)]
        wind = [dba(sound_of(only(car, wind_dba=car.body.wind_dba), drive)) for drive in calm]
        tyres = dba(sound_of(only(car, road_dba=car.body.road_dba), calm[1]))
        assert 5 - 0.2 < (wind[1] - wind[0]) / (10 * np.log10(2)) < 6 + 0.2
        ahead.append(wind[1] - tyres)
    assert np.mean(ahead) > 0 and np.mean(np.array(ahead) > -1) == 1


def test_most_energy_lies_below_500_hz_on_the_road_and_nothing_clips():
    moving = 0
    for number in range(10):
        for condition in CONDITIONS:
            rng = generator_of(1, "drive", condition, number)
            drive = draw_drive(rng, condition, 4.0)
            samples = render(a_car(number), drive, 4.0, rng)
            hz, power_density = density(samples)
            if condition in ("city", "highway") and motion_of(a_car(number), drive, 4.0).kmh.min() > 10.0:
                assert power_density[hz < 500].sum() > 0.75 * power_density.sum()
                moving += 1
            assert levels.rms_dbfs(samples) > -90 and np.abs(samples).max() < 0.7
    assert moving > 12


# Engine and motion


@pytest.mark.parametrize("powertrain", ["petrol3", "petrol4", "petrol6", "diesel4"])
def test_order_lines_follow_the_revolutions_through_the_gears(powertrain):
    """A cylinder fires every second turn: order 2 of four cylinders stands at rpm/30, along the recorded course."""
    car = a_car(powertrain=powertrain)
    motion = motion_of(car, PULLS_AWAY, 14.0)
    assert len(motion.shifts) >= 3 and [gear for _, gear in motion.shifts[:3]] == [2, 3, 4]
    sound = engine.orders(car, motion, 14 * RATE, np.random.default_rng(0))
    hz, times, bins = stft(sound, RATE, nperseg=2048, noverlap=1024)
    firing = motion.at(times, motion.rpm) / 60 * car.engine.cylinders / 2
    steady_rpm = np.abs(motion.at(times, np.gradient(motion.rpm, STEP))) < 400
    found, asked = [], []
    for place in np.flatnonzero(steady_rpm & (times > 2) & (times < 13)):
        near = (hz > 0.7 * firing[place]) & (hz < 1.4 * firing[place])  # the next strong order lies half an order away
        found.append(hz[near][np.argmax(np.abs(bins[near, place]))])
        asked.append(firing[place])
    assert len(found) > 60
    assert np.median(np.abs(np.array(found) - asked)) < hz[1] and np.mean(np.abs(np.array(found) - asked) < 2 * hz[1]) > 0.9


def test_an_electric_motor_whines_at_its_orders_and_is_silent_at_rest():
    car = a_car(powertrain="electric")
    motion = motion_of(car, steady(50.0, 4.0), 4.0)
    hz, power_density = density(engine.orders(car, motion, 4 * RATE, np.random.default_rng(0)), 8192)
    for order in car.engine.orders[:2]:
        line = order * motion.rpm[50] / 60
        assert power_density[np.abs(hz - line) < 10].max() > 100 * np.median(power_density[np.abs(hz - line) < 100])
    still = motion_of(car, steady(0.0), 3.0)
    assert (
        not engine.orders(car, still, RATE, np.random.default_rng(0)).any()
        and not np.isfinite(engine.level_dba(car, still)).any()
    )


def test_a_gear_change_lets_the_revolutions_fall_and_the_load_go():
    car = a_car(powertrain="petrol4")
    motion = motion_of(car, PULLS_AWAY, 14.0)
    for moment, _ in motion.shifts[:3]:
        before, after = moment - car.engine.shift_seconds, moment + car.engine.shift_seconds
        assert motion.at([after], motion.rpm)[0] < 0.95 * motion.at([before], motion.rpm)[0]
        assert motion.at([moment], motion.load)[0] < 0.5 * motion.at([before], motion.load)[0]
    assert motion.rpm.min() >= car.engine.idle_rpm and (np.diff(motion.kmh) > -0.01).all()


@pytest.mark.parametrize("condition", CONDITIONS)
def test_drawn_drives_stay_in_range_and_their_gears_do_not_hunt(condition):
    for number in range(20):
        drive = draw_drive(generator_of(2, condition, number), condition, 60.0)
        motion = motion_of(a_car(number), drive, 60.0)
        assert motion.kmh.min() >= 0 and motion.kmh.max() <= KINDS[condition].kmh[1] and drive.speed[-1][0] >= 60.0
        assert motion.rpm.max() < 6500 or not a_car(number).engine.cylinders
        gears = [gear for _, gear in motion.shifts]
        back = sum(1 for one, three in zip(gears, gears[2:], strict=False) if one == three)
        assert back <= 0.5 * len(gears) + 1


# Road


def test_the_tyres_cavity_rings_between_200_and_250_hz():
    for number in range(5):
        car = a_car(number)
        bare = only(car, road_dba=70.0, cavity_db=9.0, cabin_db=(0.0,) * 9, boom_db=0.0, rumble_slope_db=9.0)
        hz, power_density = density(sound_of(bare, steady(80.0, 20.0), 20.0), 2048)
        level = 10 * np.log10(power_density)
        near = (hz > 180) & (hz < 270)
        trend = np.interp(hz[near], [150, 320], [level[np.argmin(np.abs(hz - at))] for at in (150, 320)])
        assert hz[near][np.argmax(level[near] - trend)] == pytest.approx(car.body.cavity_hz, abs=12)
        assert (level[near] - trend).max() > 4


def test_tyres_sound_like_a_recording_of_tyres(shared_data):
    """Up to 1.6 kHz, where the recording ends."""
    real = third_octaves(audio.read(shared_data / "noise_torcs" / "road-ride.flac"))
    made = [third_octaves(sound_of(only(a_car(n), road_dba=a_car(n).body.road_dba), STEADY, seed=n)) for n in range(12)]
    assert np.std((np.mean(made, axis=0) - real)[:-6]) < 4.0


def test_concrete_joints_thump_at_the_axles_distance():
    car = a_car(1)
    drive = steady(72.0, joint_metres=5.0, surface="concrete")
    front, rear = road.joint_times(car, drive, motion_of(car, drive, 3.0))
    assert np.diff(front) == pytest.approx(0.25, abs=1e-6)
    assert (rear - front[: rear.size]) == pytest.approx(car.body.wheelbase / 20.0, abs=1e-6)
    loud = replace(drive, speed=((0.0, 36.0), (20.0, 36.0)), joint_db=6.0)
    rate, above = envelope_rate(sound_of(only(car, road_dba=70.0), loud, 20.0), 60, 180)
    assert rate == pytest.approx(120.0, rel=0.03) and above > 4


def test_rough_roads_are_louder_and_rattle():
    car = replace(a_car(), body=replace(a_car().body, rattles_per_second=8.0, rattle_dba=45.0))
    smooth, cobbles = (sound_of(car, steady(30.0, surface=name)) for name in ("smooth asphalt", "cobbles"))
    assert dba(cobbles) > dba(smooth) + 4
    tight = replace(car, body=replace(car.body, rattles_per_second=0.0))
    hz, power_density = density(cobbles - sound_of(tight, steady(30.0, surface="cobbles")))
    assert hz[np.argmax(power_density)] == pytest.approx(car.body.rattle_hz, rel=0.05)


# Weather and events


def test_wipers_wipe_at_their_rate_on_the_road_and_as_an_event():
    car = a_car(powertrain="electric")
    drive = steady(30.0, 30.0, rain_dba=45.0, drops_per_second=40.0, wipes_per_minute=52.0)
    rate, above = envelope_rate(sound_of(only(car, road_dba=30.0), drive, 30.0), 35, 75)
    assert rate == pytest.approx(52.0, rel=0.04) and above > 4
    rate, above = envelope_rate(Wiper(20.0, 64.0).render(car, np.random.default_rng(0)), 35, 75)
    assert rate == pytest.approx(64.0, rel=0.04) and above > 4


@pytest.mark.parametrize("per_minute", [60.0, 85.0, 120.0])
def test_the_indicator_clicks_on_and_off_at_its_rate(per_minute):
    sound = Indicator(10.0, per_minute).render(a_car(), np.random.default_rng(0))
    loud = uniform_filter1d(np.square(sound.astype(float)), 320)
    above = loud > 0.05 * loud.max()
    clicks = np.flatnonzero(np.diff(above.astype(int)) == 1) / RATE
    assert np.diff(clicks) == pytest.approx(30.0 / per_minute, abs=0.02)


def test_a_passing_vehicle_swells_and_sinks_in_pitch():
    event = Passing(6.0, 3.0, 3.0, 120.0, 65.0, 900.0, -20.0, 120.0, 10.0)
    sound = event.render(a_car(), np.random.default_rng(0))
    level = [levels.rms_dbfs(sound[int(at * RATE) :][: RATE // 4]) for at in (0.6, 2.9, 5.2)]
    assert level[1] > level[0] + 15 and level[1] > level[2] + 15
    lines = []
    for part in (sound[: 2 * RATE], sound[4 * RATE :]):
        hz, power_density = density(part, 16384)
        near = (hz > 100) & (hz < 145)
        lines.append(hz[near][np.argmax(power_density[near])])
    shift = 120.0 / 3.6 / 343.0
    assert lines == pytest.approx([120.0 / (1 - shift), 120.0 / (1 + shift)], abs=2.0)


def test_the_horn_sounds_its_two_tones():
    car = a_car()
    event = EVENTS["horn"].draw(np.random.default_rng(3))
    sound = event.render(car, np.random.default_rng(0))
    hz, power_density = density(sound, 4096)
    for tone in car.equipment.horn_hz:
        near, around = np.abs(hz - tone) < 8, np.abs(hz - tone) < 60
        assert power_density[near].max() == pytest.approx(power_density[around].max())


# Sources and recordings


def test_cars_differ_more_than_recordings_of_one_car():
    """The spread of third-octave spectra between cars is larger than within, on one and the same drive and on drawn ones."""
    takes = [
        [third_octaves(recording(4, Take(f"car-{number:03d}", "highway", take), 3.0)[0]) for take in range(1, 4)]
        for number in range(1, 13)
    ]
    spectra = np.array(takes)
    within = spectra.std(axis=1, ddof=1).mean()
    between = spectra.mean(axis=1).std(axis=0, ddof=1).mean()
    assert between > 1.3 * within
    same_drive = np.array([third_octaves(sound_of(a_car(number), STEADY, seed=number)) for number in range(12)])
    pairs = np.abs(same_drive[:, None] - same_drive[None]).mean(axis=2) + 99 * np.eye(12)
    again = np.abs(same_drive[0] - third_octaves(sound_of(a_car(0), STEADY, seed=99))).mean()
    assert pairs.min() > 1.3 * again


def test_no_recording_repeats_itself():
    samples = sound_of(a_car(), steady(100.0, 8.0), 8.0).astype(float)
    spectrum = np.abs(np.fft.rfft(samples - samples.mean(), 2 * samples.size)) ** 2
    correlation = np.fft.irfft(spectrum)[: samples.size]
    assert np.abs(correlation[RATE:]).max() < 0.5 * correlation[0]


def test_rendering_is_a_function_of_what_was_drawn():
    car, drive = a_car(), draw_drive(np.random.default_rng(0), "rain", 3.0)
    one, two, other = (render(car, drive, 2.0, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other) and one.size == 2 * RATE and one.dtype == np.float32


@pytest.fixture(scope="module")
def one_car(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    cars.generate(folder, 3, 1, cars=1, seconds=1.0).write(folder / "manifest.jsonl")
    return folder


def test_bytes_do_not_depend_on_workers(one_car, tmp_path):
    cars.generate(tmp_path, 3, 4, cars=1, seconds=1.0).write(tmp_path / "manifest.jsonl")
    assert contents(one_car) == contents(tmp_path)


def test_a_car_is_the_same_whatever_else_is_made(one_car, tmp_path):
    cars.generate(tmp_path, 3, 1, cars=2, seconds=1.0)
    two, one = contents(tmp_path / "audio"), contents(one_car / "audio")
    assert one and {name: two[name] for name in one} == one and len(two) == 2 * len(one)


def test_backgrounds_and_events_are_listed_with_what_was_drawn(one_car):
    read = manifest.read(one_car / "manifest.jsonl")
    events = {row.id for row in read if row.extra.get("event")}
    assert {row.extra["condition"] for row in read if row.id in events} == set(EVENTS)
    assert {row.extra["condition"] for row in read if row.id not in events} == set(CONDITIONS)
    assert all(row.extra["source"] == "car-001" and row.split is None for row in read)
    background = next(row for row in read if row.extra["condition"] == "rain")
    drawn = background.extra["car"]
    assert {"engine", "body", "equipment", "drive", "course"} == set(drawn)
    assert drawn["drive"]["rain_dba"] > 0 and len(drawn["course"]["rpm"]) == 2
    event = next(row for row in read if row.extra["condition"] == "indicator")
    assert 60 <= event.extra["car"]["event"]["per_minute"] <= 120 and event.duration > 2
