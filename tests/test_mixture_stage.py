"""A stage of mixtures: silence has more Gaussians than a state of speech."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from pipelines.frames import write_frames
from pipelines.graph import Topology
from pipelines.phoneme import stages
from pipelines.phoneme.align import Sentences
from pipelines.phoneme.config import GmmConfig
from pipelines.phoneme.gmm import Mixtures
from pipelines.phoneme.heard import Energies
from pipelines.phoneme.stages import Stage, Training, triphone

TOPOLOGY = Topology(("AH", "SIL"), "SIL", 2)
NOISES = 12  # kinds that silence sounds like
EACH = 200  # frames


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """Frames of two states of speech, each around one place, and of two of silence, each around many."""
    rng = np.random.default_rng(0)
    places = rng.normal(0, 6, (2, NOISES, 5))
    frames = [rng.normal(4 * state, 1, (EACH, 5)) for state in (0, 1)]
    frames += [rng.normal(place, 0.3, (EACH // 4, 5)) for state in (0, 1) for place in places[state]]
    columns = np.repeat([0, 1, 2, 3], [EACH, EACH, NOISES * EACH // 4, NOISES * EACH // 4])
    path = tmp_path_factory.mktemp("frames") / "frames.f32"
    kept = write_frames(path, [torch.tensor(part, dtype=torch.float32) for part in frames])
    found = Training(SimpleNamespace(topology=TOPOLOGY), kept, columns, Mixtures.flat(4, 5))
    for _ in found.growing(2):
        found.update()
    return found


def test_the_silent_columns_are_the_separators():
    assert TOPOLOGY.silent.tolist() == [2, 3]


def stage_of(training, most):
    return Stage(TOPOLOGY, training.mixtures, training.silence(most), None, training.alignment)


def likelihood(stage, training, silent):
    (frames, columns), *_ = training.blocks()
    own = stage.log_likelihoods(frames).gather(1, columns[:, None])[:, 0]
    return float(own[(columns >= 2) == silent].mean())


def test_more_gaussians_know_more_noises(training):
    few, many = stage_of(training, 2), stage_of(training, 32)
    assert few.silence.weights.shape == (2, 2) and many.silence.weights.shape == (2, 32)
    assert likelihood(many, training, silent=True) > likelihood(few, training, silent=True) + 2
    assert likelihood(many, training, silent=False) == likelihood(few, training, silent=False)


def test_hours_are_heard_in_blocks(training, monkeypatch):
    whole = training.silence(16)
    monkeypatch.setattr("pipelines.phoneme.stages.BLOCK", 700)
    monkeypatch.setattr("pipelines.phoneme.stages.KEPT", 0)
    torch.testing.assert_close(vars(training.silence(16)), vars(whole), atol=1e-3, rtol=1e-3)


def test_silence_that_is_never_met_stays_as_it_was(training):
    never = Training(training.sentences, training.frames, np.zeros_like(training.alignment), training.mixtures)
    assert torch.isfinite(
        Stage(TOPOLOGY, never.mixtures, never.silence(8), None, never.alignment).log_likelihoods(torch.zeros(3, 5))
    ).all()


@pytest.mark.parametrize("realign", [True, False])
def test_silence_far_from_speech_is_left_out_where_the_alignment_is_searched(tmp_path, monkeypatch, realign):
    rng = np.random.default_rng(0)
    sounds = rng.normal(0, 3, (4, 40))
    paths = [np.repeat([2, 3, 0, 1, 2, 3], (60, 140, 20, 20, 50, behind)) for behind in (10, 80, 150) for _ in range(5)]
    mel = write_frames(tmp_path / "mel.f32", (torch.tensor(sounds[p] + rng.normal(0, 1, (len(p), 40))).float() for p in paths))
    written = []
    monkeypatch.setattr(stages, "write_frames", lambda *args: written.append(write_frames(*args)) or written[-1])
    moved = [np.roll(path, 4 * (n % 3 - 1)) for n, path in enumerate(paths)]  # what is searched anew is found where it is
    sentences = Sentences(TOPOLOGY, {"a": (("AH",),)}, [["a"]] * len(paths))
    start, report = lambda numbers: [moved[n].copy() for n in numbers], lambda *_: None
    stage = triphone(tmp_path, Energies(mel, [None] * 15), sentences, start, GmmConfig(gaussians=2), realign, report)
    ends = [int(np.flatnonzero(path < 2)[-1]) + 1 for path in moved]
    assert written[0].lengths == [70 + min(30, len(p) - end) if realign else len(p) for p, end in zip(paths, ends, strict=True)]
    right = []
    for found, path, given in zip(mel.cut(stage.alignment), paths, moved, strict=True):
        assert np.array_equal(found[:166], given[:166]) and np.array_equal(found[280:], given[280:])
        right += [np.mean(np.minimum(one[160:280], 2) == np.minimum(path[160:280], 2)) for one in (found, given)]
    assert np.mean(right[::2]) > np.mean(right[1::2]) if realign else right[::2] == right[1::2]


def test_a_stage_is_read_as_it_was_written(training, tmp_path):
    stage = stage_of(training, 8)
    stage.write(tmp_path)
    frames = next(training.blocks())[0]
    assert torch.equal(Stage.read(tmp_path, TOPOLOGY).log_likelihoods(frames), stage.log_likelihoods(frames))
