"""End to end, from audio to transcript, on a language that it must be able to learn."""

import json
import shutil
from dataclasses import replace

import click
import numpy as np
import pytest
import torch
from planted_scores import plant
from safetensors.torch import load_file, save_file
from toy_language import SMALL, WORDS, make_corpus, run, speak, train

from pipelines.ctc.network import CANDIDATES, Network, score_all
from pipelines.e2e.config import E2eConfig
from pipelines.e2e.tokens import Tokens, greedy
from pipelines.modes import open_recognizer
from speechbench import audio, manifest
from speechbench.errors import SpeechbenchError
from speechbench.features import cmvn, log_mel
from speechbench.lexicon import read_lexicon, spell
from speechbench.manifest import Manifest, Skipped
from speechbench.recognizer import Request, read_hypotheses
from speechbench.run import Run
from speechbench.score import score


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return make_corpus(folder, "train", 50, "characters"), make_corpus(folder, "dev", 10, "characters", seed=1)


@pytest.fixture(scope="module")
def trained(sets, tmp_path_factory):
    return train("e2e", *sets, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def heard(trained, sets):
    run("decode", trained, "--data", sets[1], "--out", trained / "dev.jsonl")
    return read_hypotheses(trained / "dev.jsonl")


def texts_of(path):
    return {utterance.id: utterance.text for utterance in manifest.read(path)}


def rewrite(source, out, change):
    """A manifest with each utterance changed by `change(number, utterance)`."""
    Manifest(tuple(change(number, row) for number, row in enumerate(manifest.read(source)))).write(out)
    return out


def test_features_do_not_depend_on_the_level():
    samples = speak(["cat", "zebra"], "characters", np.random.default_rng(0))
    features = cmvn(log_mel(samples, 40))
    assert features.shape == (len(samples) // 160 + 1, 40)
    torch.testing.assert_close(features.mean(0), torch.zeros(40), atol=1e-3, rtol=0)
    assert (features - cmvn(log_mel(0.5 * samples, 40))).abs().mean() < 0.05  # the floor alone remains


def test_it_learns_the_language(heard, sets):
    assert score(texts_of(sets[1]), {key: hypothesis.text for key, hypothesis in heard.items()}).total.rate <= 0.05
    assert score(texts_of(sets[1]), {key: hypothesis.greedy for key, hypothesis in heard.items()}).total.rate <= 0.3


def test_the_run_holds_what_it_was_made_from(trained, sets):
    opened = Run.open(trained)
    assert opened.config["mode"] == "e2e"
    assert opened.config["encoder"]["channels"] == 48
    assert opened.provenance["manifests"]["dev"]["path"] == str(sets[1])
    assert read_lexicon(trained / "lexicon.txt") == spell(WORDS)
    assert json.loads((trained / "units.json").read_text()) == [" ", *sorted(set("".join(WORDS)))]
    assert load_file(trained / "network.safetensors")["log_priors"].exp().sum() == pytest.approx(1, abs=1e-2)


def test_the_number_of_parameters_is_kept(trained):
    (size,) = [row for row in Run.open(trained).metrics() if row["stage"] == "size"]
    state = load_file(trained / "network.safetensors")
    assert size["tokens"] == len(state.pop("log_priors")) == 1 + len(json.loads((trained / "units.json").read_text()))
    trained_ones = [value.numel() for name, value in state.items() if "running" not in name and "tracked" not in name]
    assert size["parameters"] == sum(trained_ones)


def test_each_epoch_is_logged_and_each_look_at_dev_counted(trained):
    rows = Run.open(trained).metrics()
    epochs = [row for row in rows if row["stage"] == "network"]
    assert [row["epoch"] for row in epochs] == list(range(1, 11))
    assert epochs[-1]["loss"] < 0.3 * epochs[0]["loss"]
    assert [row["epoch"] for row in epochs if "dev_greedy_wer" in row] == [5, 10]
    looks = [row for row in rows if row["stage"] == "decoding"]
    assert len(looks) == CANDIDATES.looks
    best = min(looks, key=lambda look: look["dev_errors"])
    chosen = json.loads((trained / "decoding.json").read_text())
    assert {key: best[key] for key in ("acoustic_scale", "prior_weight", "word_cost")} | {"beam": E2eConfig().beam} == chosen


def test_a_reopened_run_hears_the_same(trained, heard, sets):
    again = list(open_recognizer(Run.open(trained)).transcribe(manifest.read(sets[1]), Skipped()))
    assert {hypothesis.id: hypothesis for hypothesis in again} == heard


@pytest.mark.parametrize("asked", [Request(), Request(prefixes=4)], ids=["", "prefixes"])
def test_processes_that_search_change_nothing(trained, sets, request, asked):
    recognizer, dev = open_recognizer(Run.open(trained)), manifest.read(sets[1])
    alone = list(recognizer.transcribe(dev, Skipped(), asked))
    started = request.getfixturevalue("processes_that_search")
    assert list(recognizer.transcribe(dev, Skipped(), asked)) == alone
    assert started == [2]


def test_words_are_told_by_their_spikes(trained, sets, tmp_path):
    """N-best, confidences and oracles as in the pipeline; characters are no phonemes."""
    for options in (("--nbest", 3), ("--oracle", "phonemes"), ("--oracle", "words")):
        run("decode", trained, "--data", sets[1], "--out", tmp_path / f"{options[1]}.jsonl", *options)
        for hypothesis in read_hypotheses(tmp_path / f"{options[1]}.jsonl").values():
            assert " ".join(word.text for word in hypothesis.words) == hypothesis.text
            edges = [edge for word in hypothesis.words for edge in (word.start, word.end)]
            assert edges == sorted(edges) and edges[-1] <= hypothesis.duration
            assert hypothesis.phonemes is None and hypothesis.greedy is not None
    texts = {utterance.id: utterance.text for utterance in manifest.read(sets[1])}
    for oracle in ("phonemes", "words"):
        assert {key: h.text for key, h in read_hypotheses(tmp_path / f"{oracle}.jsonl").items()} == texts


@pytest.mark.slow
def test_same_seed_same_bytes(trained, heard, sets, tmp_path):
    again = train("e2e", *sets, tmp_path / "again")
    for name in ("network.safetensors", "language_model.arpa", "lexicon.txt", "units.json", "decoding.json"):
        assert (again / name).read_bytes() == (trained / name).read_bytes(), name
    assert (again / "metrics.jsonl").read_text() == (trained / "metrics.jsonl").read_text()
    run("decode", again, "--data", sets[1], "--out", tmp_path / "dev.jsonl")
    assert read_hypotheses(tmp_path / "dev.jsonl") == heard


@pytest.mark.slow
def test_another_seed_gives_another_network(sets, tmp_path):
    first, second = (train("e2e", *sets, tmp_path / str(n), f"seed={n}", "training.epochs=1") for n in (0, 1))
    assert (first / "network.safetensors").read_bytes() != (second / "network.safetensors").read_bytes()


def test_any_spelling_can_be_trained_and_opened(sets, tmp_path):
    """Capitals, digits, apostrophes, parentheses and other scripts, which lexicon files elsewhere give a meaning."""
    odd = ["CAT", "it's", "#1", "(laughs)", "smile(2)", "102", "Äß", "日本", ";;;"]
    files = [
        rewrite(source, tmp_path / f"{source.stem}.jsonl", lambda n, row: replace(row, text=odd[n % len(odd)]))
        for source in sets
    ]
    made = train("e2e", *files, tmp_path / "run", "training.epochs=1")
    recognizer = open_recognizer(Run.open(made))
    assert set(recognizer.decoder.graph.words.values()) >= set(odd)
    assert len(list(recognizer.transcribe(manifest.read(files[1]), Skipped()))) == 10


def test_words_of_dev_that_training_never_met_are_errors_and_nothing_else(sets, tmp_path):
    dev = rewrite(sets[1], tmp_path / "dev.jsonl", lambda n, row: replace(row, text="JÖRG quartz" if n == 0 else row.text))
    made = train("e2e", sets[0], dev, tmp_path / "run", "training.epochs=1")
    words = {look["dev_words"] for look in Run.open(made).metrics() if look["stage"] == "decoding"}
    assert words == {sum(len(utterance.words) for utterance in manifest.read(dev))}
    (language,) = [row for row in Run.open(made).metrics() if row["stage"] == "language_model"]
    assert (language["dev_oov"], language["dev_words"]) == (2, *words)
    assert 1 < language["dev_perplexity"] < 2 * len(WORDS)


def test_utterances_that_cannot_be_used_are_listed(sets, tmp_path):
    """A text with more characters than steps, and audio that is none, are left out by name."""
    (tmp_path / "broken.flac").write_bytes(b"no audio")
    audio.write(tmp_path / "short.flac", audio.read(manifest.read(sets[0]).utterances[0].audio_filepath)[:3200])

    def change(number, row):
        if number == 3:
            return replace(row, id="broken", audio_filepath=tmp_path / "broken.flac")
        if number == 5:  # 6 steps for 4 characters and the blank between ll would do; for 6 characters and a blank not
            return replace(row, id="short", audio_filepath=tmp_path / "short.flac", duration=0.2, text="yellow")
        return row

    made = train("e2e", rewrite(sets[0], tmp_path / "train.jsonl", change), sets[1], tmp_path / "run", "training.epochs=1")
    listed = {row["id"]: row["reason"] for row in map(json.loads, (made / "skipped.jsonl").read_text().splitlines())}
    assert listed.keys() == {"broken", "short"}
    assert listed["short"] == "6 steps are too few for 'yellow'"


def test_training_without_a_usable_utterance(sets, tmp_path):
    files = rewrite(sets[0], tmp_path / "train.jsonl", lambda _, row: replace(row, text=40 * "yellow "))
    with pytest.raises(SpeechbenchError, match=r"train\.jsonl: no utterance is left to train on"):
        train("e2e", files, sets[1], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_dev_that_cannot_be_used_is_told_before_training(sets, tmp_path):
    dev = rewrite(sets[1], tmp_path / "dev.jsonl", lambda _, row: replace(row, audio_filepath=tmp_path / f"{row.id}.flac"))
    with pytest.raises(SpeechbenchError, match=r"dev\.jsonl: no utterance can be used: .*dev-00"):
        train("e2e", sets[0], dev, tmp_path / "run")


def test_a_language_model_with_more_words_than_the_texts(sets, tmp_path):
    (tmp_path / "lm.txt").write_text("cat dog\nquick zebra\n\nfish milk yellow\n")
    made = train("e2e", *sets, tmp_path / "run", f"language_model.text={tmp_path / 'lm.txt'}", "training.epochs=1")
    assert Run.open(made).config["language_model"]["text"] == str(tmp_path / "lm.txt")
    assert "quick" in open_recognizer(Run.open(made)).decoder.graph.words.values()


TOKENS = Tokens.of(spell(["hello", "he"]))


def test_tokens_are_the_space_and_the_characters():
    assert TOKENS.units == (" ", "e", "h", "l", "o")
    assert TOKENS.numbers(["he", "hello"]).tolist() == [3, 2, 1, 3, 2, 4, 4, 5]
    assert TOKENS.numbers(["hey"]).tolist() == [3, 2]  # y is none of them
    assert TOKENS.text([1, 3, 2, 1, 1, 3, 2, 4, 4, 5, 1]) == "he hello"


def test_greedy_joins_repeats_unless_a_blank_stands_between():
    def text(columns):
        return greedy(torch.from_numpy(plant(columns, 6)), TOKENS)

    assert text([3, 3, 2, 2, 4, 0, 4, 5, 5, 0, 0]) == "hello"
    assert text([3, 2, 4, 4, 4, 5]) == "helo"
    assert text([0, 0, 1, 1, 0]) == ""


def test_batching_changes_no_scores():
    torch.manual_seed(0)
    config = E2eConfig().encoder
    network = Network(7, replace(config, bands=6, channels=8, recurrent=8))
    features = [torch.randn(int(length), 6) for length in torch.randint(1, 120, (40,))]
    together = score_all(network, features)
    for scores, one in zip(together, features, strict=True):
        torch.testing.assert_close(scores, score_all(network, [one])[0], atol=1e-5, rtol=1e-4)


def first_loss(path):
    return next(row["loss"] for row in Run(path).metrics() if "loss" in row)


@pytest.mark.slow
def test_words_that_are_said_often_are_tokens(sets, tmp_path):
    """And stay so where another training goes on with the network, in which they are said twice as often."""
    more = [part for setting in ("pieces=20", "training.epochs=1") for part in ("--set", setting)]
    made = train("e2e", *sets, tmp_path / "run", "pieces=20", "training.epochs=1")
    units = json.loads((made / "units.json").read_text())
    assert set(WORDS) & set(units)
    assert {u for (spelling,) in read_lexicon(made / "lexicon.txt").values() for u in spelling} | {" "} == set(units)
    rows = manifest.read(sets[0])
    Manifest(tuple(replace(row, id=f"{n}-{row.id}") for n in range(2) for row in rows)).write(tmp_path / "twice.jsonl")
    small = [part for setting in SMALL["e2e"] for part in ("--set", setting)]
    twice = ["--train", tmp_path / "twice.jsonl", "--dev", sets[1], "--init-from", made, "--out", tmp_path / "on"]
    run("train", "--mode", "e2e", *small, *more, *twice)
    assert json.loads((tmp_path / "on" / "units.json").read_text()) == units
    run("decode", made, "--data", sets[1], "--out", tmp_path / "dev.jsonl")
    assert read_hypotheses(tmp_path / "dev.jsonl").keys() == texts_of(sets[1]).keys()


def test_a_run_can_start_from_another(trained, sets, tmp_path):
    brief = [part for setting in (*SMALL["e2e"], "training.epochs=1") for part in ("--set", setting)]
    basics = ["train", "--mode", "e2e", "--train", sets[0], "--dev", sets[1], *brief]
    run(*basics, "--out", tmp_path / "fresh")
    run(*basics, "--init-from", trained, "--out", tmp_path / "on")
    assert first_loss(tmp_path / "on") < 0.5 * first_loss(tmp_path / "fresh")


def wer_greedy(run, data):
    heard = open_recognizer(run).transcribe(manifest.read(data), Skipped(), Request(greedy=True))
    return score(texts_of(data), {hypothesis.id: hypothesis.text for hypothesis in heard}).total.rate


HEART = ("training.epochs=60", "training.batch_seconds=4.0", "augment.stretch=0.0", "augment.time_masks=0")


@pytest.mark.slow
def test_twenty_utterances_are_learnt_by_heart(tmp_path):
    data = make_corpus(tmp_path, "train", 20, "characters")
    made = train("e2e", data, data, tmp_path / "run", *HEART)
    assert wer_greedy(Run.open(made), data) == 0


@pytest.mark.slow
def test_with_texts_of_other_utterances_nothing_is_learnt_of_new_ones(sets, tmp_path):
    """What is right on dev after such a training would come from somewhere else than the sounds."""
    texts = list(texts_of(sets[0]).values())
    moved = rewrite(sets[0], tmp_path / "train.jsonl", lambda n, row: replace(row, text=texts[(n + 7) % len(texts)]))
    made = train("e2e", moved, sets[1], tmp_path / "run", "training.epochs=20")
    assert wer_greedy(Run.open(made), sets[1]) > 0.8


def test_greedy_leaves_the_search_out(trained, heard, sets, tmp_path):
    run("decode", trained, "--data", sets[1], "--out", tmp_path / "greedy.jsonl", "--greedy")
    own = read_hypotheses(tmp_path / "greedy.jsonl")
    assert {key: hypothesis.text for key, hypothesis in own.items()} == {key: h.greedy for key, h in heard.items()}
    with pytest.raises(click.UsageError, match="which --greedy leaves out"):
        run("decode", trained, "--data", sets[1], "--out", tmp_path / "other.jsonl", "--greedy", "--nbest", 3)


@pytest.mark.parametrize("also", [(), ("--greedy",)])
def test_prefix_beam_search_is_told_beside_the_rest(trained, heard, sets, tmp_path, also):
    run("decode", trained, "--data", sets[1], "--out", tmp_path / "beam.jsonl", "--prefixes", 8, *also)
    beams = read_hypotheses(tmp_path / "beam.jsonl")
    assert {key: h.greedy for key, h in beams.items()} == {key: h.greedy for key, h in heard.items()}
    assert {key: h.text for key, h in beams.items()} == {key: h.greedy if also else h.text for key, h in heard.items()}
    assert score(texts_of(sets[1]), {key: hypothesis.beam for key, hypothesis in beams.items()}).total.rate <= 0.3
    assert all(hypothesis.beam is None for hypothesis in heard.values())


def test_a_network_that_does_not_fit_its_run(trained, sets, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    save_file({"log_priors": torch.zeros(3)}, tmp_path / "run" / "network.safetensors")
    with pytest.raises(SpeechbenchError, match=r"network\.safetensors: does not fit the run's config and alphabet"):
        open_recognizer(Run.open(tmp_path / "run"))
