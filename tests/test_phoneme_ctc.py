"""Partial end to end, from audio to words, on a language that it must be able to learn."""

import json
from dataclasses import fields, replace

import click
import pytest
import torch
from toy_language import BY_CTC, WORDS, make_corpus, run, train

from pipelines.ctc.network import CANDIDATES
from pipelines.e2e.config import E2eConfig
from pipelines.graph import Topology
from pipelines.modes import open_recognizer
from pipelines.phoneme import ctc
from pipelines.phoneme.config import CtcConfig
from speechbench import audio, manifest
from speechbench.errors import SpeechbenchError
from speechbench.lexicon import pronounce
from speechbench.manifest import Manifest, Skipped
from speechbench.recognizer import read_hypotheses
from speechbench.run import Run
from speechbench.score import score

BRIEF = (*BY_CTC, "ctc.training.epochs=1")
LEXICON = {"a": (("AH",), ("EY",)), "tea": (("T", "IY"),)}


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return make_corpus(folder, "train", 40, "phonemes"), make_corpus(folder, "dev", 10, "phonemes", seed=1)


@pytest.fixture(scope="module")
def trained(sets, tmp_path_factory):
    return train("pipeline", *sets, tmp_path_factory.mktemp("run") / "run", *BY_CTC)


def decode(trained, data, out, *options):
    run("decode", trained, "--data", data, "--out", out, *options)
    return read_hypotheses(out)


def texts_of(path):
    return {utterance.id: utterance.text for utterance in manifest.read(path)}


def made_of(run):
    """All that a training has made, by path; provenance knows the command."""
    files = (path for path in run.rglob("*") if path.is_file() and path.name not in {"provenance.json", "speechbench.json"})
    return {str(path.relative_to(run)): path.read_bytes() for path in files}


def test_its_network_is_trained_as_that_of_end_to_end():
    """So that what lies between the two is what the lexicon is worth."""
    mine = {field.name: getattr(CtcConfig(), field.name) for field in fields(CtcConfig)}
    assert mine.keys() == {"silence", "speaker_frames", "encoder", "augment", "training"}
    assert mine == {name: getattr(E2eConfig(), name) for name in mine}


def test_it_learns_the_language(trained, sets, tmp_path):
    heard = decode(trained, sets[1], tmp_path / "dev.jsonl")
    references = texts_of(sets[1])
    assert score(references, {key: hypothesis.text for key, hypothesis in heard.items()}).total.rate <= 0.05
    sounds = {word: " ".join(variants[0]) for word, variants in pronounce(WORDS).items()}
    spoken = {key: " ".join(sounds[word] for word in text.split()) for key, text in references.items()}
    told = {key: " ".join(phoneme.text for phoneme in hypothesis.phonemes) for key, hypothesis in heard.items()}
    assert score(spoken, told).total.rate <= 0.05


def test_words_lie_where_they_were_spoken(trained, sets, tmp_path):
    """Frames of 40 ms, counted from the start of the audio."""
    for hypothesis in decode(trained, sets[1], tmp_path / "dev.jsonl").values():
        edges = [edge for word in hypothesis.words for edge in (word.start, word.end)]
        assert edges == sorted(edges)
        assert 0 <= edges[0] < 0.3
        assert hypothesis.duration - 0.35 < edges[-1] <= hypothesis.duration


def test_no_stage_comes_before_it(trained):
    assert {path.name for path in trained.iterdir() if path.is_dir()} == {"ctc"}
    assert not list(trained.rglob("*.f32"))  # features are for training alone
    rows = Run.open(trained).metrics()
    assert {row["stage"] for row in rows} == {"lexicon", "language_model", "silence", "ctc"}
    assert [row["epoch"] for row in rows if "dev_greedy_per" in row] == [5, 10]
    looks = [row for row in rows if "dev_wer" in row]
    assert len(looks) == CANDIDATES.looks
    assert looks[0]["columns"] == 1 + len(json.loads((trained / "units.json").read_text()))
    assert json.loads((trained / "speechbench.json").read_text())["dev_looks"] == len(looks) + 2


def test_oracles_and_nbest_as_for_states(trained, sets, tmp_path):
    texts = texts_of(sets[1])
    for options in (("--oracle", "phonemes"), ("--oracle", "language-model"), ("--nbest", 3)):
        heard = decode(trained, sets[1], tmp_path / f"{options[1]}.jsonl", *options)
        assert score(texts, {key: hypothesis.text for key, hypothesis in heard.items()}).total.rate <= 0.05
    assert all(1 <= len(hypothesis.nbest) <= 3 for hypothesis in heard.values())


@pytest.mark.slow
def test_same_seed_same_bytes(sets, tmp_path):
    one, same, other = (
        train("pipeline", *sets, tmp_path / name, *BRIEF, f"seed={seed}") for name, seed in (("one", 0), ("same", 0), ("b", 1))
    )
    assert made_of(one) == made_of(same)
    weights = "ctc/network.safetensors"
    assert made_of(one)[weights] != made_of(other)[weights]


def short_one(sets, folder):
    """The training set with an utterance that has more phonemes than steps."""
    audio.write(folder / "short.flac", audio.read(manifest.read(sets[0]).utterances[0].audio_filepath)[:3200])
    rows = list(manifest.read(sets[0]))
    rows[5] = replace(rows[5], id="short", audio_filepath=folder / "short.flac", duration=0.2, text="zebra fish")
    Manifest(tuple(rows)).write(folder / "train.jsonl")
    return folder / "train.jsonl", sets[1]


def test_a_stopped_training_goes_on_behind_the_network(sets, tmp_path, monkeypatch):
    files = short_one(sets, tmp_path)

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(click.Abort):
        patched.setattr("pipelines.phoneme.train.tune_weights", stop)
        train("pipeline", *files, tmp_path / "stopped", *BRIEF)
    assert (tmp_path / "stopped" / "ctc").is_dir()
    whole = train("pipeline", *files, tmp_path / "whole", *BRIEF)
    monkeypatch.setattr(ctc, "fit", None)
    train("pipeline", *files, tmp_path / "stopped", "--resume", *BRIEF)
    assert made_of(tmp_path / "stopped") == made_of(whole)
    (listed,) = map(json.loads, (whole / "skipped.jsonl").read_text().splitlines())
    assert listed == {"id": "short", "reason": "6 steps are too few for 'zebra fish'"}


def test_training_without_a_usable_utterance(sets, tmp_path):
    rows = (replace(row, text=40 * "yellow ") for row in manifest.read(sets[0]))
    Manifest(tuple(rows)).write(tmp_path / "train.jsonl")
    with pytest.raises(SpeechbenchError, match=r"train\.jsonl: no utterance is left to train on"):
        train("pipeline", tmp_path / "train.jsonl", sets[1], tmp_path / "run", *BRIEF)
    assert not (tmp_path / "run").exists()


def test_words_of_dev_that_the_lexicon_lacks_stop_nothing(sets, tmp_path):
    rows = (replace(row, text="quartz") for row in manifest.read(sets[1]))
    Manifest(tuple(rows)).write(tmp_path / "dev.jsonl")
    made = train("pipeline", sets[0], tmp_path / "dev.jsonl", tmp_path / "run", *BRIEF)
    assert len(list(open_recognizer(Run.open(made)).transcribe(manifest.read(sets[1]), Skipped()))) == 10


def test_a_sentence_is_its_first_pronunciations_with_silence_between():
    assert ctc.phonemes_of(["tea", "a", "tea"], LEXICON, "SIL") == ["T", "IY", "SIL", "AH", "SIL", "T", "IY"]
    assert ctc.phonemes_of(["coffee", "a", "coffee"], LEXICON, "SIL") == ["AH"]
    assert ctc.phonemes_of([], LEXICON, "SIL") == []


def test_what_the_network_tells_has_no_silence_in_it():
    path = torch.tensor([0, 1, 3, 3, 0, 2, 1, 0, 3])
    topology = Topology(("SIL", "IY", "T"), "SIL", 0)
    assert ctc.greedy_phonemes(torch.nn.functional.one_hot(path, 4).float(), topology) == ["T", "IY", "T"]
