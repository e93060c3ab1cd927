import time

import numpy as np
import pytest

from speechbench import voices
from speechbench.errors import SpeechbenchError

pytest.importorskip("espeakng_loader")

LINE = voices.Line("turn on the radio", "en-us+f3", 165, 50)


@pytest.fixture(scope="module")
def spoken():
    return voices.speak([LINE, LINE._replace(voice="en+m3"), LINE._replace(rate=130), LINE._replace(pitch=75)])


def test_words_and_phonemes_have_times(spoken):
    for speech in spoken:
        assert [word for _, _, word in speech.words] == LINE.text.split()
        starts = [start for start, _, _ in speech.words]
        assert starts == sorted(starts) and speech.words[-1][1] <= speech.samples.size / speech.sampling_rate
        assert all(start < end for start, end, _ in [*speech.words, *speech.phonemes])
        # Most of the energy lies within the words.
        inside = np.zeros(speech.samples.size, dtype=bool)
        for start, end, _ in speech.words:
            inside[round(start * speech.sampling_rate) : round(end * speech.sampling_rate)] = True
        assert np.sum(speech.samples[inside] ** 2) > 0.95 * np.sum(speech.samples**2)


def test_words_spoken_as_one_share_its_time(spoken):
    (_, _, _), (start, middle, _), (after, end, _), _ = spoken[0].words  # espeak-ng says "on the" as one word
    assert middle == after and (middle - start) / (end - start) == pytest.approx(2 / 5, abs=0.01)


def test_voice_rate_and_pitch_are_heard(spoken):
    plain, man, slow, high = spoken
    assert slow.samples.size > 1.1 * plain.samples.size
    assert pitch_hz(man) < pitch_hz(plain) < pitch_hz(high)


def pitch_hz(speech):
    """Of the vowel of "on", by autocorrelation."""
    start = round(speech.words[1][0] * speech.sampling_rate)
    frame = speech.samples[start : start + 2048]
    correlation = np.correlate(frame, frame, "full")[frame.size - 1 :]
    low, high = speech.sampling_rate // 400, speech.sampling_rate // 70
    return speech.sampling_rate / (low + int(correlation[low:high].argmax()))


def test_the_same_batch_gives_the_same_samples(spoken):
    time.sleep(1.1)  # left alone, espeak-ng draws from a seed that changes with each second
    again = voices.speak([LINE])[0]
    assert np.array_equal(again.samples, spoken[0].samples)


def test_an_unknown_voice_is_an_error():
    with pytest.raises(SpeechbenchError, match="no voice 'xx-klingon'"):
        voices.speak([LINE._replace(voice="xx-klingon")])


def test_without_espeak_the_way_out_is_named(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SpeechbenchError, match=r"pip install 'speechbench\[voices\]'"):
        voices.require()


def test_the_closure_belongs_to_the_stop():
    """espeak-ng is silent before the burst, and calls only what is heard the stop."""
    speech = voices.speak([LINE._replace(text="a packet", voice="en-us+f1")])[0]
    (_, end, _), (start, _, stop), *_ = speech.phonemes
    assert stop == "p" and end == start
    edge, closure = round(start * speech.sampling_rate), round(0.03 * speech.sampling_rate)
    assert not speech.samples[edge + 10 : edge + closure].any()
    assert np.abs(speech.samples[edge - closure : edge]).max() > 0.01


def test_a_pause_before_another_sound_is_no_ones():
    speech = voices.speak([LINE._replace(text="pack some more", voice="en-us+f1")])[0]
    (stop, pause), (sound, _, following) = [one[:2] for one in speech.phonemes][2], speech.phonemes[3]
    assert following == "s" and stop < pause < sound
    silent = speech.samples[round(pause * speech.sampling_rate) + 10 : round(sound * speech.sampling_rate) - 10]
    assert silent.size > 100 and not silent.any()
