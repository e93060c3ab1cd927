import numpy as np
import pytest
import soxr
from made_speech import RATE, syllables
from test_fingerprint import coloured

from speechbench import audio, levels
from speechbench.errors import AudioError
from speechbench.manifest import Manifest, Utterance
from synth import coverage, warning
from synth.noise import Noise


@pytest.fixture
def place(tmp_path):
    """Writes noise, or speech with noise at an SNR, and answers its line."""

    def noise(name, samples, condition="city"):
        path = tmp_path / f"{name}.flac"
        audio.write(path, samples)
        return Noise(name, str(path), 0.0, samples.size / RATE, name, condition)

    def target(name, noises, snr_db=5.0):
        rows = []
        for number, lain in enumerate(noises):
            speech = syllables(np.random.default_rng(number), 6.0)
            lain = lain[: speech.size]
            gain_db = levels.active_speech_level(speech).level_dbfs - levels.rms_dbfs(lain) - snr_db
            path = tmp_path / f"{name}{number}.flac"
            mixed = speech + lain * 10 ** (gain_db / 20)
            audio.write(path, (0.5 * mixed / np.abs(mixed).max()).astype(np.float32))
            rows.append(Utterance(path.stem, path, 6.0, text="words"))
        return Manifest(tuple(rows), tmp_path / f"{name}.jsonl")

    target.noise = noise
    return target


def test_the_distance_does_not_know_the_level_and_knows_the_tilt():
    loud, quiet = coloured(0, 10.0), 0.1 * coloured(1, 10.0)
    spectra = np.array([coverage.spectrum(one) for one in (quiet, coloured(2, 10.0, slope=2.0))])
    near, far = coverage.distances(spectra, coverage.spectrum(loud))
    assert near < 0.5
    # 3 dB per octave over 20 thirds of one: the deviation from the mean of an even slope is its length / sqrt(12).
    assert far == pytest.approx(3.0 * 20 / 3 / np.sqrt(12), rel=0.1)


def test_a_band_holds_its_third_of_an_octave():
    time = np.arange(RATE) / RATE
    for place, name in enumerate(coverage.NAMES):
        tone = (0.1 * np.sin(2 * np.pi * coverage.CENTRES[place] * time)).astype(np.float32)
        assert int(np.argmax(coverage.spectrum(tone))) == place
        assert coverage.CENTRES[place] == pytest.approx(name, rel=0.02)
        if place > 3:  # below, the window's skirts reach beyond the band
            assert coverage.spectrum(tone)[place] == pytest.approx(levels.rms_dbfs(tone), abs=0.3)


@pytest.mark.parametrize("snr_db", [-5.0, 5.0, 15.0])
def test_noise_is_heard_in_the_pauses(place, snr_db):
    lain = coloured(0, 6.0, slope=2.0)
    (noisy,) = place("t", [lain], snr_db)
    heard = coverage.spectrum(noisy.samples(), pauses_only=True)
    assert coverage.distances(heard[None], coverage.spectrum(lain))[0] < 1.5


def test_noise_like_the_targets_covers_it_and_other_noise_does_not(place):
    target = place("t", [coloured(seed, 6.0, slope=2.0) for seed in range(6)])
    same = [place.noise(f"same{seed}", coloured(10 + seed, 6.0, slope=2.0), "rain") for seed in range(3)]
    other = [place.noise(f"other{seed}", coloured(20 + seed, 6.0, slope=0.0)) for seed in range(3)]
    found = coverage.compare([*other, *same], target)
    assert found["uncovered_share"] == 0.0 and warning.mismatch(found) is None
    assert found["nearest"][0]["condition"] == "rain"
    assert found["condition_db"]["rain"] < 2.0 < 8.0 < found["condition_db"]["city"]
    assert found["noise_unlike_target"] == {"city": 1.0, "rain": 0.0}
    apart = coverage.compare(other, target)
    said = warning.mismatch(apart)
    assert said["code"] == "NOISE_SPECTRUM_MISMATCH"
    assert "6 of 6 recordings of" in said["message"] and "t.jsonl sound like no training noise" in said["message"]
    assert "dB around 63 Hz" in said["message"] and "too much around 6300 Hz" in said["message"]
    # White noise under 6 dB per octave: 20 dB less where the target's is strongest.
    assert apart["lacking_db"]["63"] == pytest.approx(20.0, abs=2.5)


def test_a_target_without_text_is_all_noise(place, tmp_path):
    lain = place.noise("car", coloured(0, 8.0))
    target = Manifest((Utterance("car2", tmp_path / "car.flac", 8.0),))
    found = coverage.compare([lain], target)
    assert found["distance_db"]["max"] < 0.5


def test_bands_that_a_target_at_8_khz_cannot_hold_are_not_judged(place, tmp_path):
    path = tmp_path / "narrow.wav"
    audio.write(path, soxr.resample(coloured(5, 8.0), RATE, 8000), 8000)
    found = coverage.compare([place.noise("wide", coloured(0, 8.0))], Manifest((Utterance("narrow", path, 8.0),)))
    assert found["distance_db"]["max"] < 0.8
    assert list(found["lacking_db"])[-1] == "3150"


def test_only_part_of_a_long_recording_is_read(place):
    found = coverage.compare([place.noise("long", np.tile(coloured(0, 10.0), 15))], place("t", [coloured(1, 6.0)]))
    assert found["noise_stretches"] == coverage.STRETCHES


def test_a_target_that_cannot_be_used_is_named(place, tmp_path, capsys):
    lain = place.noise("car", coloured(0, 8.0))
    silent = tmp_path / "silent.flac"
    audio.write(silent, np.zeros(RATE, np.float32))
    with pytest.raises(AudioError, match=r"no recording can be used; the first: .*silent.flac"):
        coverage.compare([lain], Manifest((Utterance("s", silent, 1.0),)))
    both = Manifest((Utterance("s", silent, 1.0), Utterance("c", tmp_path / "car.flac", 8.0)))
    assert coverage.compare([lain], both)["unusable"] == ["s"]
    with pytest.raises(AudioError, match="no noise can be used"):
        coverage.compare([], both)
    assert "silent.flac" in capsys.readouterr().err
