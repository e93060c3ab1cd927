"""How a speaker sounds otherwise, beside an utterance."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from made_speech import make_speech

from pipelines.phoneme.config import GmmConfig
from pipelines.phoneme.heard import Heard, all_cepstra, energies
from pipelines.phoneme.stages import features_of
from pipelines.speakers import Listener, speakers_of
from speechbench import manifest
from speechbench.features import Moments, cmvn
from speechbench.manifest import Manifest

CHANCE = torch.Generator().manual_seed(0)


def made(frames, features=13):
    return 5.0 * torch.randn(frames, features, generator=CHANCE) - 30.0


def moments(values):
    return Moments(values.mean(0), values.var(0, correction=0))


@pytest.mark.parametrize(("frames", "weight"), [(43, 10.0), (1, 10.0), (600, 2.5), (40, 4000.0)])
def test_the_speaker_counts_as_so_many_frames(frames, weight):
    """As if frames of these moments stood beside the utterance's own."""
    own, speaker = made(frames), moments(made(5000))
    share = weight / (weight + frames)
    mean = (1 - share) * own.double().mean(0) + share * speaker.mean
    square = (1 - share) * own.double().square().mean(0) + share * (speaker.variance + speaker.mean.double().square())
    wanted = (own - mean) / (square - mean.square()).sqrt()
    torch.testing.assert_close(cmvn(own, speaker, weight), wanted.float(), atol=1e-4, rtol=1e-4)


def test_no_weight_and_nothing_else_said_leave_the_utterance_to_itself():
    own = made(30)
    torch.testing.assert_close(cmvn(own, moments(made(500)), 0.0), cmvn(own))
    torch.testing.assert_close(cmvn(own, moments(own), 10.0), cmvn(own), atol=1e-4, rtol=1e-4)


def test_a_listener_knows_each_speaker_from_all_that_was_said():
    said = {"ann": [made(20, 40), made(90, 40)], "ben": [made(50, 40)], None: [made(10, 40)]}
    listener = Listener()
    for speaker, utterances in said.items():
        for mel in utterances:
            listener.hear(speaker, mel)
    speakers = listener.speakers()
    assert set(speakers) == {"ann", "ben"}
    for speaker, found in speakers.items():
        whole = moments(torch.cat(said[speaker]))
        torch.testing.assert_close(found, whole, atol=1e-3, rtol=1e-3)


def test_a_speaker_of_whom_nothing_but_silence_is_known_gives_numbers():
    listener, silent = Listener(), energies(np.zeros(16_000, np.float32))
    for _ in range(3):
        listener.hear("ann", all_cepstra(silent))
    heard = Heard(silent, listener.speakers()["ann"])
    assert (heard.speaker.variance >= 0).all()
    assert features_of(GmmConfig(), None)(heard).isfinite().all()


def test_speakers_of_a_manifest_are_of_those_who_say_more_than_one_thing(tmp_path):
    first, second, third, fourth, gone = manifest.read(make_speech(tmp_path, [1.0, 2.0, 1.5, 1.2, 1.3])).utterances
    gone.audio_filepath.unlink()
    said = Manifest((first, second, gone, replace(third, speaker="ben"), replace(fourth, speaker=None)))
    speakers = speakers_of(said, energies)
    assert set(speakers) == {"ann"}
    listener = Listener()
    for one in (first, second):
        listener.hear("ann", energies(one.samples()))
    torch.testing.assert_close(speakers["ann"], listener.speakers()["ann"])
    assert speakers_of(Manifest((replace(third, speaker="ben"), replace(fourth, speaker=None))), energies) == {}


def test_features_of_a_short_word_are_less_the_words_and_more_the_speakers():
    """A word in which one sound stands still differs from the speaker's mean; normalised alone it would be all zeros."""
    steady = energies(np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32))
    listener = Listener()
    for mel in (steady, steady + torch.linspace(-3.0, 3.0, 40)):
        listener.hear("ann", all_cepstra(mel))
    alone, beside = (features_of(GmmConfig(), None)(Heard(steady, speaker)) for speaker in (None, listener.speakers()["ann"]))
    assert alone[:, 1].mean().abs() < 0.01 < 0.1 < beside[:, 1].mean().abs()
    torch.testing.assert_close(alone[:, 13:], beside[:, 13:])
    off = features_of(GmmConfig(speaker_frames=0.0), None)(Heard(steady, listener.speakers()["ann"]))
    torch.testing.assert_close(off, alone)
