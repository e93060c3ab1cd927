from dataclasses import replace

import numpy as np
import pytest
from made_speech import RATE, contents

from speechbench import audio, manifest
from speechbench.seeds import generator_of
from synth import car
from synth.car import Drive

STEADY = Drive("highway", 100.0, 100.0, 0.6, 0.0, 0.3, 0.0, 0.0)


def spectrum(samples):
    return np.abs(np.fft.rfft(samples.astype(float))) ** 2, np.fft.rfftfreq(samples.size, 1 / RATE)


def a_car(number=0):
    return car.draw_car(generator_of(0, "car", number))


def test_most_energy_lies_below_500_hz_and_levels_are_sane():
    for number in range(4):
        for condition in car.CONDITIONS:
            rng = generator_of(1, "drive", condition, number)
            samples = car.render(a_car(number), car.draw_drive(rng, condition), 4.0, rng)
            power, hz = spectrum(samples)
            assert power[hz < 500].sum() > 0.5 * power.sum()
            assert -45 <= audio.rms_dbfs(samples) <= -20
            assert np.abs(samples).max() < 0.95


def test_the_second_order_stands_at_the_revolutions_over_30():
    quiet = replace(a_car(), engine_dbfs=-20.0, road_dbfs=-60.0, wind_dbfs=-70.0, fan_dbfs=-70.0)
    speed = np.full(8 * RATE, 100.0)
    rpm = float(car.rpm_of(quiet, speed, np.random.default_rng(0)).mean())
    power, hz = spectrum(car.render(quiet, STEADY, 8.0, np.random.default_rng(0)))
    near = (hz > 20) & (hz < 300)
    assert hz[near][np.argmax(power[near])] == pytest.approx(rpm / 30, rel=0.02)


def test_the_level_rises_with_the_speed_by_about_35_log10():
    gains = []
    for number in range(6):
        levels = []
        for speed in (60.0, 120.0):
            drive = replace(STEADY, speed_start=speed, speed_end=speed)
            levels.append(audio.rms_dbfs(car.render(a_car(number), drive, 3.0, np.random.default_rng(number))))
        gains.append(levels[1] - levels[0])
    assert min(gains) > 5
    assert np.mean(gains) == pytest.approx(35 * np.log10(2), abs=3)


def test_no_recording_repeats_itself():
    samples = car.render(a_car(), replace(STEADY, speed_end=90.0), 8.0, np.random.default_rng(0)).astype(float)
    power = np.abs(np.fft.rfft(samples - samples.mean(), 2 * samples.size)) ** 2
    correlation = np.fft.irfft(power)[: samples.size]
    assert np.abs(correlation[RATE:]).max() < 0.5 * correlation[0]


def test_generate_lists_what_it_drew_and_bytes_do_not_depend_on_workers(tmp_path):
    noise = car.generate(tmp_path / "one", 3, 1, cars=1, seconds=0.5)
    noise.write(tmp_path / "one" / "manifest.jsonl")
    car.generate(tmp_path / "two", 3, 2, cars=1, seconds=0.5).write(tmp_path / "two" / "manifest.jsonl")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    read = manifest.read(tmp_path / "one" / "manifest.jsonl")
    assert {utterance.extra["condition"] for utterance in read} == set(car.CONDITIONS)
    assert all(utterance.extra["source"] == "car-001" and utterance.split is None for utterance in read)
    assert {"idle_rpm", "speed_start", "cavity_hz", "load"} <= set(read.utterances[0].extra["car"])
