"""The silence before and behind the speech of what is trained on."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from toy_language import BY_CTC, make_corpus, speak, train

from pipelines.batches import pad
from pipelines.ctc import features
from pipelines.ctc.config import EncoderConfig
from pipelines.ctc.edges import cut, part_of, score_spoken, speech_edges, spoken
from pipelines.ctc.items import Item, Stored
from pipelines.ctc.network import Network, score_all, steps_of
from pipelines.ctc.scenes import Scenes
from pipelines.e2e.tokens import Tokens
from pipelines.modes import open_recognizer
from pipelines.phoneme import ctc
from speechbench import audio, manifest
from speechbench.features import Moments, cmvn, frames_of, log_mel
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.recognizer import ORACLES, Request
from speechbench.run import Run

WORDS = ["cat", "zebra", "dog"]


def heard(samples):
    """The features of an utterance whose speaker is unknown."""
    return cmvn(log_mel(samples, 40))


def recorded(before, after, noise=0.003, seed=0, by="characters"):
    """The words, without a pause at the edges, with so many seconds of room noise before and behind; and where they lie."""
    rng = np.random.default_rng(seed)
    spoken = speak(WORDS, by, rng)[1280:-1280]  # the least pause is 0.08 s
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
    start, end = speech_edges(heard(samples))
    assert start == pytest.approx(first, abs=9) and end == pytest.approx(first + frames, abs=9)


@pytest.mark.parametrize("noise", [0.02, 0.1])
def test_noise_that_hides_the_edges_hides_no_speech(noise):
    samples, first, frames = recorded(2.0, 3.0, noise)
    start, end = speech_edges(heard(samples))
    assert start < first + 9 and end > first + frames - 9


def test_a_pause_within_the_speech_is_kept():
    one, _, _ = recorded(1.0, 1.0)
    two, _, frames = recorded(1.0, 1.0, seed=1)
    start, end = speech_edges(heard(np.concatenate([one, two])))
    assert start == pytest.approx(100, abs=9)
    assert end == pytest.approx(frames_of(one.size) + 100 + frames, abs=9)


def test_the_level_moves_no_edge():
    samples, *_ = recorded(1.0, 2.0, 0.01)
    assert speech_edges(heard(samples)) == speech_edges(heard(0.1 * samples))


@pytest.mark.parametrize("features", [torch.zeros(50, 4), torch.full((3, 4), torch.nan), torch.ones(1, 4)])
def test_where_nothing_stands_out_all_is_speech(features):
    assert speech_edges(features) == (0, len(features))


@pytest.mark.parametrize(
    ("edges", "silence", "part"),
    [((100, 200), 0.3, (68, 162)), ((10, 290), 0.3, (0, 300)), ((100, 200), 0.0, (100, 100)), ((100, 200), 1e6, (0, 300))],
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


def test_speech_is_scored_at_its_place():
    """Blanks where nothing is heard; between them the scores of the part alone."""
    torch.manual_seed(0)
    network = Network(5, EncoderConfig(bands=40, channels=16, recurrent=16, layers=1))
    samples, first, _ = recorded(2.0, 3.0)
    whole = heard(samples)
    scores = score_spoken(network, whole, 0.3)
    assert len(scores) == steps_of(len(whole))
    start, part = spoken(whole, 0.3)
    assert 0 < start < first and start % 4 == 0
    (alone,) = score_all(network, [part])
    steps = slice(start // 4, start // 4 + len(alone))
    assert torch.equal(scores[steps], alone)
    outside = torch.cat([scores[: steps.start], scores[steps.stop :]])
    assert len(outside) > 80 and outside.argmax(1).max() == 0
    torch.testing.assert_close(outside.exp().sum(1), torch.ones(len(outside)), atol=1e-4, rtol=0)


@pytest.fixture(scope="module", params=[("e2e", "characters"), ("pipeline", "phonemes", *BY_CTC)], ids=["e2e", "ctc"])
def trained(request, tmp_path_factory):
    """A recogniser, what the words are spelled by, and the words with half a second of silence around and two seconds more."""
    mode, by, *settings = request.param
    folder = tmp_path_factory.mktemp("toy")
    sets = make_corpus(folder, "train", 50, by), make_corpus(folder, "dev", 10, by, seed=1)
    short, *_ = recorded(0.5, 0.5, by=by)
    rows = []
    for name, before in (("short", 0), ("long", 2)):
        noise = np.random.default_rng(1).normal(0, 0.003, before * 16_000).astype(np.float32)
        audio.write(folder / f"{name}.flac", np.concatenate([noise, short]))
        rows.append(Utterance(name, folder / f"{name}.flac", before + short.size / 16_000, text=" ".join(WORDS)))
    return open_recognizer(Run.open(train(mode, *sets, folder / "run", *settings))), Manifest(tuple(rows))


@pytest.mark.parametrize(
    "request_", [Request(), Request(nbest=3), *(Request(oracle=name) for name in ORACLES)], ids=["best", "nbest", *ORACLES]
)
def test_silence_around_an_utterance_changes_neither_text_nor_times(trained, request_):
    """The words are where they were spoken, and two seconds later behind two seconds more of room noise."""
    recognizer, spoken_twice = trained
    short, long = recognizer.transcribe(spoken_twice, Skipped(), request_)
    assert short.text == long.text == " ".join(WORDS)
    assert 0.45 < short.words[0].start < 0.7  # CTC tells a sound near its end
    assert short.duration - 0.7 < short.words[-1].end < short.duration - 0.4
    for word, later in zip(short.words, long.words, strict=True):
        assert later.start == pytest.approx(word.start + 2, abs=0.081) and later.end == pytest.approx(word.end + 2, abs=0.081)


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
    tokens, skipped = Tokens((" ", *"abcdefghijklmnopqrstuvwxyz")).numbers, Skipped()
    features.write(tmp_path / "features", slow_speaker, 40, 5.0)
    toy, slow, full = features.read_items(tmp_path / "features", slow_speaker, tokens, 0.3, skipped)
    wholes = features.read_items(tmp_path / "features", slow_speaker, tokens, 1e6, skipped)
    assert not skipped.reasons
    assert (toy.start, toy.frames) == (0, wholes[0].frames)
    assert slow.start == pytest.approx(170, abs=9) and slow.frames < wholes[1].frames - 400
    assert (full.start, full.frames) == (0, wholes[2].frames)


def test_the_index_alone_says_the_same(slow_speaker, tmp_path):
    tokens = Tokens((" ", *"abcdefghijklmnopqrstuvwxyz")).numbers
    features.write(tmp_path / "whole", slow_speaker, 40, 5.0)
    features.write(tmp_path / "index", slow_speaker, 40, 5.0, index_only=True)
    assert not (tmp_path / "index" / "frames.f32").exists()
    found = [features.read_items(tmp_path / name, slow_speaker, tokens, 0.3, Skipped()) for name in ("whole", "index")]
    assert [(i.id, i.start, i.frames) for i in found[0]] == [(i.id, i.start, i.frames) for i in found[1]]


@pytest.mark.parametrize("silence", [0.3, 2.1, 1e6])
@pytest.mark.parametrize(("mode", "prefix", "settings"), [("e2e", "", ()), ("pipeline", "ctc.", BY_CTC)], ids=["e2e", "ctc"])
def test_a_training_says_how_much_it_hears(slow_speaker, tmp_path, mode, prefix, settings, silence):
    path = tmp_path / "all.jsonl"
    settings = (*settings, f"{prefix}silence={silence}", f"{prefix}training.epochs=1")
    out = train(mode, path, path, tmp_path / "run", *settings)
    (row,) = [row for row in Run.open(out).metrics() if row["stage"] == "silence"]
    recorded = sum(utterance.duration for utterance in slow_speaker)
    left_out = {0.3: 1.7 + 2.7, 2.1: 0.9, 1e6: 0.0}[silence]  # of the one whose text is short
    assert row["recorded_seconds"] == pytest.approx(recorded, abs=0.01)
    assert row["used_seconds"] == pytest.approx(recorded - left_out, abs=0.25)
    assert row["used_seconds"] <= row["recorded_seconds"]


@pytest.mark.parametrize(("silence", "frames"), [(0.3, 222), (1e6, 662)])
def test_epochs_are_judged_by_what_is_heard_in_use(slow_speaker, tmp_path, monkeypatch, silence, frames):
    """The pipeline's; that of end to end takes its items, as training does."""
    heard = []
    monkeypatch.setattr(ctc, "score_all", lambda network, dev: heard.extend(map(len, dev)) or score_all(network, dev))
    path = tmp_path / "all.jsonl"
    train("pipeline", path, path, tmp_path / "run", *BY_CTC, f"ctc.silence={silence}", "ctc.training.epochs=1")
    assert len(heard) == 3 and max(heard) == pytest.approx(frames, abs=20)


def test_scenes_are_heard_where_their_clean_speech_lies(monkeypatch):
    """Features 0, 1, 2, ... by frame; of the short one a little less was rendered than its manifest says."""
    clean = {
        "long": Item("long", "x", 12, torch.tensor([1]), start=8),
        "short": Item("short", "y", 6, torch.tensor([2]), start=4),
    }
    scenes = [SimpleNamespace(id=f"{name}-noisy", clean_id=name, snr_db=None, heard=iter(())) for name in clean]
    samples = 160 * (torch.tensor([30, 9]) - 1)

    def render(groups):
        return (SimpleNamespace(samples=torch.zeros(2, 1), lengths=samples, scenes=list(group)) for group in groups)

    monkeypatch.setattr("pipelines.ctc.scenes.log_mels", lambda *_: torch.arange(30.0).expand(2, 30).unsqueeze(2))
    monkeypatch.setattr("pipelines.ctc.scenes.cmvns", lambda energies, lengths: energies)
    renderer = SimpleNamespace(scenes=lambda epoch: scenes, render=render)
    source = Scenes(renderer, clean, 1, Skipped())
    assert [(item.id, item.start, item.frames) for item in source.items] == [("long-noisy", 8, 12), ("short-noisy", 4, 6)]
    [(_, batch)] = source.read(0, {0: [0, 1]})
    assert batch.lengths.tolist() == [12, 5]
    assert batch.features[0, :, 0].tolist() == list(range(8, 20))
    assert batch.features[1, :, 0].tolist() == [4, 5, 6, 7, 8] + 7 * [0]


def test_scenes_are_heard_beside_what_their_speaker_says_in_noise():
    """Ann is known from the first epoch's noise; of ben nothing else is heard, and who says d nobody knows."""
    rng = np.random.default_rng(0)
    names = {"a": "ann", "b": "ann", "c": "ann", "d": None, "e": "ben"}
    clean = {key: Item(key, "x", 51, torch.tensor([1]), speaker=who) for key, who in names.items()}
    loudness = dict(zip(names, (0.01, 0.1, 0.3, 0.1, 0.1), strict=True))
    audio_of = {(key, epoch): torch.tensor(rng.normal(0, loudness[key], 8000)).float() for key in names for epoch in (0, 1)}

    def scenes(epoch):
        return [SimpleNamespace(id=f"{key}-noisy", clean_id=key, epoch=epoch, snr_db=None, heard=iter(())) for key in names]

    def render(groups):
        for group in map(list, groups):
            rows = torch.stack([audio_of[one.clean_id, one.epoch] for one in group])
            yield SimpleNamespace(samples=rows, lengths=torch.full((len(group),), 8000), scenes=group)

    def mel(key, epoch):
        return log_mel(audio_of[key, epoch], 40)

    source = Scenes(SimpleNamespace(scenes=scenes, render=render), clean, 40, Skipped(), 20.0)
    [(_, batch)] = source.read(1, {0: [2, 3, 4]})
    said = torch.cat([mel(key, 0) for key in "abc"])
    ann = Moments(said.mean(0), said.var(0, correction=0))
    wanted = [cmvn(mel("c", 1), ann, 20.0), cmvn(mel("d", 1)), cmvn(mel("e", 1))]
    for row, right in zip(batch.features, wanted, strict=True):
        torch.testing.assert_close(row, right, atol=1e-3, rtol=1e-3)
    assert (wanted[0] - cmvn(mel("c", 1))).abs().mean() > 0.1
