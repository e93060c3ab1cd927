import json

import numpy as np
import pytest
import soundfile
from made_speech import RATE, make_speech, syllables

from speechbench import audio, manifest
from speechbench.errors import AudioError, SpeechbenchError
from synth import build, cabin, rir, scene
from synth.noise import NoiseBank
from synth.recipe import CabinRanges, Recipe
from synth.rir import Rir


@pytest.fixture
def rooms(tmp_path):
    """A folder of two responses: a late direct path with an echo, at 16 and 48 kHz."""
    (tmp_path / "rooms" / "big").mkdir(parents=True)
    for name, rate in (("a.wav", 16000), ("big/b.flac", 48000)):
        response = np.zeros(rate // 2)
        response[rate // 100] = -0.3
        response[rate // 20] = 0.1
        soundfile.write(tmp_path / "rooms" / name, response, rate)
    return tmp_path / "rooms"


def test_a_folder_and_a_manifest_name_the_same_files(rooms, tmp_path):
    found = rir.load(rooms)
    assert [one.id for one in found] == ["a.wav", "big/b.flac"]
    lines = [{"id": one.id, "audio_filepath": one.audio_filepath, "duration": 0.5} for one in found]
    (tmp_path / "rooms.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert rir.load(tmp_path / "rooms.jsonl") == found


def test_the_direct_path_is_found_and_words_stay_where_they_were(rooms):
    speech = syllables(np.random.default_rng(0), 1.0)
    for one in rir.load(rooms):
        response, delay = cabin.impulse_response(one)
        assert delay == 160 and np.abs(response).max() == pytest.approx(1.0)
        heard = cabin.apply(speech, response, delay)
        assert np.corrcoef(heard, speech)[0, 1] < -0.9  # its sign is the room's
        echo = heard[640:] + speech[640:]
        assert np.corrcoef(echo, speech[:-640])[0, 1] > 0.75  # from 48 kHz it lacks the highest tones


@pytest.mark.parametrize(
    ("samples", "message"),
    [(None, "holds no impulse responses"), (np.zeros((100, 2)), "2 channels; write one")],
)
def test_what_is_no_response_is_named(tmp_path, samples, message):
    (tmp_path / "rooms").mkdir()
    if samples is not None:
        soundfile.write(tmp_path / "rooms" / "a.wav", samples, RATE)
    with pytest.raises(SpeechbenchError, match=message):
        rir.load(tmp_path / "rooms")


def test_a_silent_response_is_an_error_of_its_utterance(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.zeros(100), RATE)
    with pytest.raises(AudioError, match=r"a\.wav: the impulse response is silent"):
        rir.response(Rir("a", str(tmp_path / "a.wav")))


def test_responses_are_drawn_like_cabins_recorded_and_rendered(rooms, tmp_path):
    speech = manifest.read(make_speech(tmp_path, [0.5] * 8))
    recipe = Recipe(noise=0.0, cabin=CabinRanges(count=1, rirs=str(rooms)))
    drawn = list(scene.draw(speech, NoiseBank(()), recipe, 0))
    assert {one.cabin.id for one in drawn} == {"a.wav", "big/b.flac", "cabin-01"}
    for one in drawn:
        assert scene.Scene.of(json.loads(json.dumps(one.row(str(tmp_path / "x")))), str(tmp_path / "x")) == one
    noise = tmp_path / "n.jsonl"
    audio.write(tmp_path / "n.wav", syllables(np.random.default_rng(9), 5.0, pause=0.0))
    noise.write_text('{"id": "n", "audio_filepath": "n.wav", "duration": 5.0, "source": "s"}\n')
    build.build(build.Plan(speech, [noise], recipe), tmp_path / "out")
    made = manifest.read(tmp_path / "out" / "manifest.jsonl")
    assert [one.extra["rir"] for one in made] == [one.cabin.id for one in drawn]
    room = next(one.extra["cabin"] for one in made if one.extra["rir"] == "a.wav")
    assert (tmp_path / "out" / room["audio_filepath"]).resolve() == rooms / "a.wav"
    with pytest.raises(SpeechbenchError, match="which is read to make it"):
        build.build(build.Plan(speech, [noise], recipe), tmp_path, overwrite=True)
