"""The silence before and behind the speech of what is trained on."""

import numpy as np
import pytest
import torch
from toy_language import make_corpus, speak, train

from pipelines.batches import pad
from pipelines.ctc.edges import cut, part_of, speech_edges
from pipelines.ctc.items import Item, Stored
from pipelines.e2e import features
from pipelines.e2e.tokens import Tokens, front_end
from speechbench import audio, manifest
from speechbench.features import frames_of
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.run import Run

WORDS = ["cat", "zebra", "dog"]


def recorded(before, after, noise=0.003, seed=0):
    """The words, without a pause at the edges, with so many seconds of room noise before and behind; and where they lie."""
    rng = np.random.default_rng(seed)
    spoken = speak(WORDS, "characters", rng)[1280:-1280]  # the least pause is 0.08 s
    wave = np.concatenate([np.zeros(round(before * 16_000)), spoken, np.zeros(round(after * 16_000))])
    return (
        (wave + rng.normal(0, noise, wave.size)).astype(np.float32),
        frames_of(round(before * 16_000)),
        frames_of(spoken.size),
    )


@pytest.mark.parametrize(("before", "after"), [(2.0, 3.0), (0.5, 0.0), (0.0, 0.4), (4.0, 1.0)])
@pytest.mark.parametrize("noise", [0.001, 0.01])
def test_edges_of_the_speech_are_found(before, after, noise):
    samples, first, frames = recorded(before, after, noise)
    start, end = speech_edges(front_end(40)(samples))
    assert start == pytest.approx(first, abs=9) and end == pytest.approx(first + frames, abs=9)


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_noise_that_hides_the_edges_hides_no_speech(noise):
    samples, first, frames = recorded(2.0, 3.0, noise)
    start, end = speech_edges(front_end(40)(samples))
    assert start < first + 9 and end > first + frames - 9


def test_a_pause_within_the_speech_is_kept():
    one, _, _ = recorded(1.0, 1.0)
    two, _, frames = recorded(1.0, 1.0, seed=1)
    start, end = speech_edges(front_end(40)(np.concatenate([one, two])))
    assert start == pytest.approx(100, abs=9)
    assert end == pytest.approx(frames_of(one.size) + 100 + frames, abs=9)


def test_the_level_moves_no_edge():
    samples, *_ = recorded(1.0, 2.0, 0.01)
    assert speech_edges(front_end(40)(samples)) == speech_edges(front_end(40)(0.1 * samples))


@pytest.mark.parametrize("features", [torch.zeros(50, 4), torch.full((3, 4), torch.nan), torch.ones(1, 4)])
def test_where_nothing_stands_out_all_is_speech(features):
    assert speech_edges(features) == (0, len(features))


@pytest.mark.parametrize(
    ("edges", "silence", "part"),
    [((100, 200), 0.3, (70, 160)), ((10, 290), 0.3, (0, 300)), ((100, 200), 0.0, (100, 100)), ((100, 200), 1e6, (0, 300))],
)
def test_silence_is_kept_up_to_the_ends(edges, silence, part):
    assert part_of(edges, 300, silence) == part


def test_a_batch_is_cut_as_its_utterances_are():
    utterances = [torch.randn(n, 3, generator=torch.Generator().manual_seed(n)) for n in (9, 5, 7)]
    features, _ = pad(utterances)
    starts, lengths = torch.tensor([2, 0, 6]), torch.tensor([4, 5, 1])
    expected, _ = pad([one[s : s + n] for one, s, n in zip(utterances, starts.tolist(), lengths.tolist(), strict=True)])
    assert torch.equal(cut(features, starts, lengths), expected)


def test_features_of_a_cut_item_are_those_frames_of_the_whole():
    whole = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    item = Item("a", "x", 8, torch.tensor([1]), start=5)
    [(number, batch)] = Stored([item], {"a": whole}.__getitem__).read(0, {4: [0]})
    assert number == 4 and batch.lengths.tolist() == [8]
    assert torch.equal(batch.features[0], whole[5:13])


@pytest.fixture
def slow_speaker(tmp_path):
    """Three utterances: with much silence, as the toy language has them, and one whose text takes all its frames."""
    path = make_corpus(tmp_path, "train", 1, "characters")
    samples, *_ = recorded(2.0, 3.0)
    audio.write(tmp_path / "slow.flac", samples)
    audio.write(tmp_path / "full.flac", samples)
    slow = Utterance("slow", tmp_path / "slow.flac", samples.size / 16_000, text="cat")
    full = Utterance("full", tmp_path / "full.flac", samples.size / 16_000, text=" ".join(["zebra"] * 25))
    rows = Manifest((*manifest.read(path), slow, full))
    rows.write(tmp_path / "all.jsonl")
    return manifest.read(tmp_path / "all.jsonl")


def test_items_know_where_they_begin_and_keep_frames_enough_for_their_text(slow_speaker, tmp_path):
    tokens, skipped = Tokens((" ", *"abcdefghijklmnopqrstuvwxyz")), Skipped()
    features.write(tmp_path / "features", slow_speaker, 40)
    toy, slow, full = features.read_items(tmp_path / "features", slow_speaker, tokens, skipped, 0.3)
    wholes = features.read(tmp_path / "features", slow_speaker, 40, tokens, skipped).items
    assert not skipped.reasons
    assert (toy.start, toy.frames) == (0, wholes[0].frames)
    assert slow.start == pytest.approx(170, abs=9) and slow.frames < wholes[1].frames - 400
    assert (full.start, full.frames) == (0, wholes[2].frames)


def test_the_index_alone_says_the_same(slow_speaker, tmp_path):
    tokens = Tokens((" ", *"abcdefghijklmnopqrstuvwxyz"))
    features.write(tmp_path / "whole", slow_speaker, 40)
    features.write(tmp_path / "index", slow_speaker, 40, index_only=True)
    assert not (tmp_path / "index" / "frames.f32").exists()
    found = [features.read_items(tmp_path / name, slow_speaker, tokens, Skipped(), 0.3) for name in ("whole", "index")]
    assert [(i.id, i.start, i.frames) for i in found[0]] == [(i.id, i.start, i.frames) for i in found[1]]


@pytest.mark.parametrize("silence", [0.3, 2.1, 1e6])
def test_a_training_says_how_much_it_hears(slow_speaker, tmp_path, silence):
    path = tmp_path / "all.jsonl"
    out = train("e2e", path, path, tmp_path / "run", f"silence={silence}", "training.epochs=1")
    (row,) = [row for row in Run.open(out).metrics() if row["stage"] == "silence"]
    recorded = sum(utterance.duration for utterance in slow_speaker)
    left_out = {0.3: 1.7 + 2.7, 2.1: 0.9, 1e6: 0.0}[silence]  # of the one whose text is short
    assert row["recorded_seconds"] == pytest.approx(recorded, abs=0.01)
    assert row["used_seconds"] == pytest.approx(recorded - left_out, abs=0.25)
