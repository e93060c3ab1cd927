"""The pipeline, from audio to words, on a language that it must be able to learn."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from toy_language import WORDS, make_corpus, run, speak, train

from pipelines.modes import open_recognizer
from pipelines.phoneme.config import GmmConfig, PipelineConfig
from pipelines.phoneme.heard import Heard, energies
from pipelines.phoneme.recognizer import CANDIDATES, MIXTURE_CANDIDATES
from pipelines.phoneme.stages import features_of
from speechbench import audio, manifest, voices
from speechbench.errors import SpeechbenchError
from speechbench.lexicon import pronounce, read_lexicon
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.recognizer import Request, read_hypotheses
from speechbench.run import Run
from speechbench.score import score


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return make_corpus(folder, "train", 40, "phonemes"), make_corpus(folder, "dev", 10, "phonemes", seed=1)


@pytest.fixture(scope="module")
def trained(sets, tmp_path_factory):
    return train("pipeline", *sets, tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="module")
def heard(trained, sets):
    run("decode", trained, "--data", sets[1], "--out", trained / "dev.jsonl")
    return read_hypotheses(trained / "dev.jsonl")


def texts_of(path):
    return {utterance.id: utterance.text for utterance in manifest.read(path)}


def test_features_do_not_depend_on_the_level():
    samples = speak(["cat", "zebra"], "phonemes", np.random.default_rng(0))
    make = features_of(GmmConfig(), None)
    features = make(Heard(energies(samples)))
    assert features.shape == (len(samples) // 160 + 1, 39)
    torch.testing.assert_close(features.mean(0), torch.zeros(39), atol=1e-3, rtol=0)
    assert (features - make(Heard(energies(0.5 * samples)))).abs().mean() < 0.05  # the floor alone remains


def test_it_learns_the_language(heard, sets):
    words = score(texts_of(sets[1]), {key: hypothesis.text for key, hypothesis in heard.items()}).total
    assert words.rate <= 0.05


def test_it_tells_the_phonemes(heard, sets):
    sounds = {word: " ".join(variants[0]) for word, variants in pronounce(WORDS).items()}
    references = {key: " ".join(sounds[word] for word in text.split()) for key, text in texts_of(sets[1]).items()}
    rate = score(
        references, {key: " ".join(p.text for p in hypothesis.phonemes) for key, hypothesis in heard.items()}
    ).total.rate
    assert rate <= 0.05


def test_the_run_holds_what_it_was_made_from(trained, sets):
    opened = Run.open(trained)
    assert opened.config["mode"] == "pipeline"
    assert opened.config["network"]["width"] == 48
    assert opened.provenance["manifests"]["train"]["path"] == str(sets[0])
    assert read_lexicon(trained / "lexicon.txt") == pronounce(WORDS)
    units = json.loads((trained / "units.json").read_text())
    assert units[0] == "SIL"
    assert units[1:] == sorted({phoneme for variants in pronounce(WORDS).values() for phoneme in variants[0]})
    assert load_file(trained / "network" / "network.safetensors")["log_priors"].exp().sum() == pytest.approx(1, abs=1e-4)
    assert not list(trained.rglob("*.f32"))  # features are for training alone


def test_each_stage_is_logged_and_each_look_at_dev_counted(trained):
    rows = Run.open(trained).metrics()
    for stage in ("monophone", "triphone"):
        likelihoods = [row["log_likelihood"] for row in rows if row["stage"] == stage and "gaussians" in row]
        assert len(likelihoods) == 2
        assert likelihoods[0] < likelihoods[1]
        assert sum("dev_wer" in row for row in rows if row["stage"] == stage) == 1
        assert [row["per"] < 0.2 for row in rows if row["stage"] == stage and "per" in row] == [True]
    losses = [row["loss"] for row in rows if row["stage"] == "network" and "loss" in row]
    assert len(losses) == 4
    assert losses[-1] < losses[0]
    looks = [row for row in rows if row["stage"] == "network" and "dev_wer" in row]
    assert len(looks) == CANDIDATES.looks
    assert json.loads((trained / "speechbench.json").read_text())["dev_looks"] == len(looks) + 2  # of the stages before
    assert looks[0]["columns"] > 3 * len(json.loads((trained / "units.json").read_text()))  # states are split
    chosen = json.loads((trained / "decoding.json").read_text())
    best = min(looks, key=lambda look: look["dev_errors"])
    assert {key: best[key] for key in ("acoustic_scale", "prior_weight", "word_cost")} | {
        "beam": PipelineConfig().beam
    } == chosen


def test_a_reopened_run_hears_the_same(trained, heard, sets):
    again = list(open_recognizer(Run.open(trained)).transcribe(manifest.read(sets[1]), Skipped()))
    assert {hypothesis.id: hypothesis for hypothesis in again} == heard


def decode(trained, data, out, *options):
    run("decode", trained, "--data", data, "--out", out, *options)
    return read_hypotheses(out)


def test_words_and_phonemes_lie_where_they_were_spoken(heard, sets):
    """The toy language's sounds last about 0.11 s each, its pauses are digital silence but for a hiss."""
    right = [hypothesis for hypothesis in heard.values() if hypothesis.text == texts_of(sets[1])[hypothesis.id]]
    assert len(right) >= 8
    for hypothesis in right:
        assert " ".join(word.text for word in hypothesis.words) == hypothesis.text
        assert hypothesis.words[0].start >= 0 and hypothesis.words[-1].end <= hypothesis.duration
        sounds = {word: len(variants[0]) for word, variants in pronounce(WORDS).items()}
        for word in hypothesis.words:
            assert word.end - word.start == pytest.approx(0.11 * sounds[word.text], abs=0.025 * sounds[word.text] + 0.06)
        inside = [any(w.start <= p.start and p.end <= w.end for w in hypothesis.words) for p in hypothesis.phonemes]
        assert all(inside)


def test_nbest_and_confidences(trained, heard, sets, tmp_path):
    found = decode(trained, sets[1], tmp_path / "h.jsonl", "--nbest", 4)
    assert {key: hypothesis.text for key, hypothesis in found.items()} == {key: h.text for key, h in heard.items()}
    for key, hypothesis in found.items():
        assert 1 <= len(hypothesis.nbest) <= 4
        assert (hypothesis.nbest[0].text, hypothesis.nbest[0].score) == (
            hypothesis.text,
            pytest.approx(heard[key].score, abs=0.01),
        )
        assert [(w.text, w.start, w.end) for w in hypothesis.words] == [(w.text, w.start, w.end) for w in heard[key].words]
        assert all(0 < word.confidence <= 1 for word in hypothesis.words)


@pytest.fixture(scope="module")
def poor(sets, tmp_path_factory):
    """A recogniser that errs: monophones, and speech under ever more noise."""
    folder = tmp_path_factory.mktemp("poor")
    rows = []
    for number, utterance in enumerate(manifest.read(sets[0]).utterances[:30]):
        samples = utterance.samples()
        noise = np.random.default_rng(number).normal(0, 0.2 + 0.1 * number, len(samples)).astype(np.float32)
        audio.write(folder / f"{number}.flac", (samples + noise) / 20)
        rows.append(replace(utterance, audio_filepath=folder / f"{number}.flac"))
    Manifest(tuple(rows)).write(folder / "noisy.jsonl")
    # In noise that drowns all speech the paths that win late are far behind at first.
    return train("pipeline", *sets, folder / "run", "acoustic=monophone", "beam=30"), folder / "noisy.jsonl"


def test_oracles_are_ordered(poor, tmp_path):
    run_folder, noisy = poor
    rates, found = {}, {}
    for oracle in (None, "phonemes", "words", "language-model", "search"):
        found[oracle] = decode(run_folder, noisy, tmp_path / f"{oracle}.jsonl", *(("--oracle", oracle) if oracle else ()))
        rates[oracle] = score(texts_of(noisy), {key: hypothesis.text for key, hypothesis in found[oracle].items()}).total.rate
        assert {hypothesis.oracle for hypothesis in found[oracle].values()} == {oracle}
    assert rates["words"] == 0 < rates[None]
    assert rates["phonemes"] <= rates[None]
    assert rates["language-model"] <= rates[None]
    for key, hypothesis in found[None].items():
        assert found["search"][key].score >= hypothesis.score - 1e-2
        assert found["search"][key].score >= found["words"][key].score - 1e-2


def test_what_cannot_be_heard_or_aligned_is_named(trained, sets, tmp_path, capsys):
    first = manifest.read(sets[1]).utterances[0]
    for name, samples in {"silent": np.zeros(16000), "short": first.samples()[4000:4800], "tiny": np.zeros(10)}.items():
        audio.write(tmp_path / f"{name}.flac", samples.astype(np.float32))
    sounds = {name: tmp_path / f"{name}.flac" for name in ("silent", "short", "tiny")}
    rows = [Utterance(name, path, 0.001 if name == "tiny" else 0.05, text="zebra milk") for name, path in sounds.items()]
    rows += [
        replace(first, id="unknown", text="cat blorx"),
        replace(first, id="gone", audio_filepath=tmp_path / "gone.flac"),
        first,
    ]
    Manifest(tuple(rows)).write(tmp_path / "odd.jsonl")
    heard = decode(trained, tmp_path / "odd.jsonl", tmp_path / "h.jsonl")
    said = capsys.readouterr().err
    assert "silent: no speech was heard in its 0.05 s" in said
    assert "tiny: no path through the graph fits its 0.00 s; heard as nothing" in said
    assert "skipped gone" in said
    assert heard.keys() == {"silent", "short", "tiny", "unknown", first.id}
    aligned = decode(trained, tmp_path / "odd.jsonl", tmp_path / "words.jsonl", "--oracle", "words")
    said = capsys.readouterr().err
    assert "unknown: beyond the oracle: the lexicon lacks blorx" in said
    assert "short: beyond the oracle: 0.05 s are too short for 'zebra milk', or its graph cannot say it" in said
    assert "4 of 5 utterances are beyond the oracle: silent, short, tiny, unknown" in said
    assert (aligned["unknown"].text, aligned["unknown"].words, aligned["unknown"].oracle) == ("cat blorx", None, None)
    assert aligned[first.id].oracle == "words"


def test_hypotheses_become_files_of_the_field(heard, trained, tmp_path):
    run("convert", trained / "dev.jsonl", tmp_path / "words.ctm", "--to", "ctm")
    lines = [line.split() for line in (tmp_path / "words.ctm").read_text().splitlines()]
    assert len(lines) == sum(len(hypothesis.words) for hypothesis in heard.values())
    assert all(float(start) + float(length) <= heard[key].duration + 1e-3 for key, _, start, length, _ in lines)
    run("convert", trained / "dev.jsonl", tmp_path / "grids", "--to", "textgrid")
    assert {path.stem for path in (tmp_path / "grids").glob("*.TextGrid")} == heard.keys()
    run("convert", trained / "dev.jsonl", tmp_path / "dev.trn", "--to", "trn")
    assert len((tmp_path / "dev.trn").read_text().splitlines()) == len(heard)


def test_order_and_company_change_nothing(trained, heard, sets):
    reordered = Manifest(tuple(reversed(manifest.read(sets[1]).utterances))[:4])
    for hypothesis in open_recognizer(Run.open(trained)).transcribe(reordered, Skipped()):
        assert hypothesis == heard[hypothesis.id]


@pytest.mark.parametrize("asked", [Request(), Request(nbest=3), Request(oracle="phonemes")], ids=["", "nbest", "oracle"])
def test_processes_that_search_change_nothing(trained, sets, request, asked):
    recognizer, dev = open_recognizer(Run.open(trained)), manifest.read(sets[1])
    alone = list(recognizer.transcribe(dev, Skipped(), asked))
    started = request.getfixturevalue("processes_that_search")
    assert list(recognizer.transcribe(dev, Skipped(), asked)) == alone
    assert started == [2]


def test_what_a_speaker_says_besides_tells_how_the_speaker_sounds(trained, heard, sets):
    recognizer, (first, *rest) = open_recognizer(Run.open(trained)), manifest.read(sets[1]).utterances

    def scores(*utterances):
        return next(recognizer.transcribe(Manifest(tuple(replace(u, speaker=name) for u, name in utterances)), Skipped())).score

    beside = scores((first, "ann"), *((u, "ann") for u in rest))
    assert beside != heard[first.id].score
    assert beside == pytest.approx(scores((first, "ann"), *((u, "ann") for u in reversed(rest))), rel=1e-5)
    assert scores((first, "ann"), *((u, "ben") for u in rest)) == heard[first.id].score  # others do not matter


@pytest.mark.slow
def test_same_seed_same_bytes(trained, heard, sets, tmp_path):
    again = train("pipeline", *sets, tmp_path / "again")
    before, after = (made_of(run) for run in (trained, again))
    assert before == after
    run("decode", again, "--data", sets[1], "--out", tmp_path / "dev.jsonl")
    assert read_hypotheses(tmp_path / "dev.jsonl") == heard
    other = train("pipeline", *sets, tmp_path / "other", "seed=1")
    weights = Path("network", "network.safetensors")
    assert (other / weights).read_bytes() != (trained / weights).read_bytes()


def made_of(run):
    """All that a training has made, by path; provenance knows the command, and hypotheses come later."""
    own = {"provenance.json", "speechbench.json", "dev.jsonl", "dev.skipped.jsonl"}
    return {str(path.relative_to(run)): path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name not in own}


@pytest.mark.parametrize("acoustic", ["monophone", "triphone"])
def test_mixtures_alone(sets, tmp_path, acoustic):
    made = train("pipeline", *sets, tmp_path / "run", f"acoustic={acoustic}")
    assert not (made / "network").exists()
    looks = [row for row in Run.open(made).metrics() if row["stage"] == acoustic and "dev_wer" in row]
    assert len(looks) == MIXTURE_CANDIDATES.looks
    hypotheses = open_recognizer(Run.open(made)).transcribe(manifest.read(sets[1]), Skipped())
    rate = score(texts_of(sets[1]), {hypothesis.id: hypothesis.text for hypothesis in hypotheses}).total.rate
    assert rate <= 0.15


@pytest.mark.slow
@pytest.mark.parametrize(("acoustic", "parts"), [("triphone", {"triphone", "triphone-heard"}), ("network", {"network"})])
def test_noisy_speech_is_learnt_along_the_alignment_of_the_clean_speech_under_it(sets, tmp_path, acoustic, parts):
    clean = manifest.read(sets[0])
    rng = np.random.default_rng(0)

    def noisy(utterance, number):
        path, samples = tmp_path / f"{utterance.id}-{number}.flac", utterance.samples()
        audio.write(path, np.clip(samples + rng.normal(0, 0.02, samples.size), -1, 1).astype(np.float32))
        facts = {"clean_filepath": str(utterance.audio_filepath), "clean_offset": 0.0}
        return replace(utterance, id=path.stem, audio_filepath=path, extra=facts)

    rows = [*clean, *(noisy(utterance, number) for number in range(2) for utterance in clean)]
    Manifest(tuple(rows)).write(tmp_path / "train.jsonl")
    settings = f"acoustic={acoustic}", "network.realign=1"
    made = train("pipeline", tmp_path / "train.jsonl", sets[1], tmp_path / "run", *settings)
    assert all((made / part).is_dir() for part in parts) and not list(made.rglob("*.f32"))
    alignment = np.load(made / "triphone" / "alignment.npy")
    assert len(alignment) == sum(len(energies(utterance.samples())) for utterance in clean)
    turns = {row["turn"] for row in Run.open(made).metrics() if "turn" in row}
    assert turns == ({1, 2} if acoustic == "network" else set())
    hypotheses = open_recognizer(Run.open(made)).transcribe(manifest.read(sets[1]), Skipped())
    assert score(texts_of(sets[1]), {hypothesis.id: hypothesis.text for hypothesis in hypotheses}).total.rate <= 0.1


def test_stages_before_the_last_recognise_dev_without_its_noise(sets, tmp_path):
    def drowned(utterance):
        path, samples = tmp_path / f"{utterance.id}.flac", utterance.samples()
        audio.write(path, np.random.default_rng(0).normal(0, 0.1, samples.size).astype(np.float32))
        facts = {"clean_filepath": str(utterance.audio_filepath), "clean_offset": 0.0}
        return replace(utterance, id=path.stem, audio_filepath=path, extra=facts)

    Manifest(tuple(map(drowned, manifest.read(sets[1])))).write(tmp_path / "dev.jsonl")
    made = train("pipeline", sets[0], tmp_path / "dev.jsonl", tmp_path / "run", "acoustic=triphone")
    looks = [row for row in Run.open(made).metrics() if "dev_wer" in row]
    assert [row["dev"] for row in looks] == ["plain"] + ["heard"] * MIXTURE_CANDIDATES.looks
    assert looks[0]["dev_wer"] < 0.2
    assert min(row["dev_wer"] for row in looks[1:]) > 0.5


def test_utterances_that_cannot_be_used_are_listed(trained, sets, tmp_path):
    """A text too long for its audio, and audio that is none, are left out by name."""
    broken = tmp_path / "broken.flac"
    broken.write_bytes(b"no audio")
    short = tmp_path / "short.flac"
    audio.write(short, audio.read(manifest.read(sets[0]).utterances[0].audio_filepath)[:2000])
    rows = list(manifest.read(sets[0]))
    rows[3] = replace(rows[3], id="broken", audio_filepath=broken)
    rows[5] = replace(rows[5], id="short", audio_filepath=short, duration=0.125, text="zebra milk zebra")
    Manifest(tuple(rows)).write(tmp_path / "train.jsonl")
    made = train("pipeline", tmp_path / "train.jsonl", sets[1], tmp_path / "run", "acoustic=monophone")
    listed = {row["id"]: row["reason"] for row in map(json.loads, (made / "skipped.jsonl").read_text().splitlines())}
    assert listed.keys() == {"broken", "short"}
    assert listed["short"] == "13 frames are too few for the phonemes of 'zebra milk zebra'"


def fail(sets, out, *settings):
    with pytest.raises(SpeechbenchError) as caught:
        train("pipeline", *sets, out, *settings)
    assert not out.exists()
    return str(caught.value)


def with_text(sets, folder, *words):
    """The training set, with words at the end of its first text."""
    rows = list(manifest.read(sets[0]))
    rows[0] = replace(rows[0], text=" ".join([rows[0].text, *words]))
    Manifest(tuple(rows)).write(folder / "train.jsonl")
    return folder / "train.jsonl", sets[1]


SHORTEST = ("acoustic=monophone", "gmm.gaussians=1", "gmm.iterations=1")


def test_words_without_pronunciation_are_named(sets, tmp_path, monkeypatch):
    files = with_text(sets, tmp_path, "blorx", "日本")
    message = fail(files, tmp_path / "run", "guess_pronunciations=false")
    assert message.startswith("2 words are in no lexicon: blorx, 日本; write 'word PH PH ...'")
    assert "pip" not in message or not voices.installed()
    monkeypatch.setattr(voices, "installed", lambda: False)
    assert fail(files, tmp_path / "run").endswith("or pip install 'speechbench[voices]' to have them guessed")


def test_guessed_words_are_reported_everywhere(sets, tmp_path, capsys):
    pytest.importorskip("espeakng_loader")
    made = train("pipeline", *with_text(sets, tmp_path, "blorx"), tmp_path / "run", *SHORTEST)
    said = [line for line in capsys.readouterr().err.splitlines() if "blorx" in line]
    assert said == ["1 pronunciations are guessed: blorx; correct guessed_lexicon.txt and add --set lexicon=FILE"]
    assert read_lexicon(made / "guessed_lexicon.txt") == {"blorx": (("B", "L", "AO", "R", "K", "S"),)}
    assert read_lexicon(made / "lexicon.txt")["blorx"] == (("B", "L", "AO", "R", "K", "S"),)
    (logged,) = [row for row in Run.open(made).metrics() if row["stage"] == "lexicon"]
    assert logged["guessed"] == ["blorx"]
    message = fail(with_text(sets, tmp_path, "日本"), tmp_path / "again")
    assert message.startswith("1 words are in no lexicon: 日本;")  # a script that nothing here can read aloud


def test_stress_is_kept_if_asked(sets, tmp_path):
    made = train("pipeline", *sets, tmp_path / "run", *SHORTEST, "stress=keep")
    assert {"AE1", "IY1", "OW0"} <= set(json.loads((made / "units.json").read_text()))
    assert read_lexicon(made / "lexicon.txt") == pronounce(WORDS, stress="keep")
    open_recognizer(Run.open(made))


def test_a_grammar_instead_of_an_ngram(sets, tmp_path, capsys):
    (tmp_path / "words.jsgf").write_text(f"#JSGF V1.0;\npublic <said> = ({' | '.join(WORDS[:5])} | blorx)+;\n")
    settings = ("acoustic=monophone", "guess_pronunciations=false", f"language_model.grammar={tmp_path / 'words.jsgf'}")
    made = train("pipeline", *sets, tmp_path / "run", *settings)
    errors = capsys.readouterr().err
    assert "warning: 1 words of the language model have no pronunciation and are never heard: blorx" in errors
    assert "warning: 1 words of the training texts are not in the language model and are never heard: yellow" in errors
    assert (made / "grammar.txt").read_text() == (tmp_path / "words.jsgf").read_text()
    assert not (made / "language_model.arpa").exists()
    (logged,) = [row for row in Run.open(made).metrics() if row["stage"] == "language_model"]
    dev = texts_of(sets[1]).values()
    assert logged["dev_impossible"] == sum("yellow" in text.split() for text in dev) > 0
    assert logged["dev_oov"] == sum(text.split().count("yellow") for text in dev)
    hypotheses = {h.id: h.text for h in open_recognizer(Run.open(made)).transcribe(manifest.read(sets[1]), Skipped())}
    assert not {"yellow", "blorx"} & {word for text in hypotheses.values() for word in text.split()}
    possible = {key: text for key, text in texts_of(sets[1]).items() if "yellow" not in text.split()}
    assert score(possible, {key: hypotheses[key] for key in possible}).total.rate <= 0.15


def test_one_source_of_the_language_model(sets, tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text("cat\n")
    settings = (f"language_model.text={tmp_path / 'a'}", f"language_model.grammar={tmp_path / 'b'}")
    assert "[language_model] text and grammar are both given; expected one" in fail(sets, tmp_path / "run", *settings)


def test_a_lexicon_of_the_users(sets, tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("blorx B L AO K S SIL\n")
    rows = [replace(row, text=f"{row.text} blorx") if n == 0 else row for n, row in enumerate(manifest.read(sets[0]))]
    Manifest(tuple(rows)).write(tmp_path / "train.jsonl")
    files = tmp_path / "train.jsonl", sets[1]
    made = train("pipeline", *files, tmp_path / "run", f"lexicon={own}", "acoustic=monophone")
    assert Run.open(made).config["lexicon"] == str(own)
    assert json.loads((made / "units.json").read_text()).count("SIL") == 1
    assert read_lexicon(made / "lexicon.txt")["blorx"] == (("B", "L", "AO", "K", "S", "SIL"),)
    open_recognizer(Run.open(made))


def test_language_model_files(sets, tmp_path, capsys):
    absent = tmp_path / "absent.txt"
    assert fail(sets, tmp_path / "run", f"language_model.text={absent}").startswith(f"{absent}: no such file")
    assert fail(sets, tmp_path / "run", f"language_model.arpa={absent}").startswith(f"{absent}: no such file")
    (tmp_path / "lm.arpa").write_text("\\data\\\nngram 1=3\n\n\\1-grams:\n-1\tcat\n-1\t日本\n-1\t</s>\n\n\\end\\\n")
    made = train("pipeline", *sets, tmp_path / "made", *SHORTEST, f"language_model.arpa={tmp_path / 'lm.arpa'}")
    said = capsys.readouterr().err
    assert "warning: 1 words of the language model have no pronunciation and are never heard: 日本" in said
    assert "warning: 5 words of the training texts are not in the language model and are never heard: dog, fish, milk," in said
    heard = open_recognizer(Run.open(made)).transcribe(manifest.read(sets[1]), Skipped())
    assert {word for hypothesis in heard for word in hypothesis.text.split()} == {"cat"}
    (tmp_path / "text").write_text("zebras whistle\n")
    train("pipeline", *sets, tmp_path / "apart", *SHORTEST, f"language_model.text={tmp_path / 'text'}")
    assert "dev.jsonl is in the language model: nothing of it can be heard right" in capsys.readouterr().err
    (tmp_path / "lm.arpa").write_text("nothing of the kind")
    assert "expected an ARPA language model" in fail(sets, tmp_path / "run", f"language_model.arpa={tmp_path / 'lm.arpa'}")


def test_dev_that_cannot_be_used_is_told_before_training(sets, tmp_path):
    rows = [replace(row, audio_filepath=tmp_path / f"{row.id}.flac") for row in manifest.read(sets[1])]
    Manifest(tuple(rows)).write(tmp_path / "dev.jsonl")
    message = fail((sets[0], tmp_path / "dev.jsonl"), tmp_path / "run")
    assert "dev.jsonl: no utterance can be used" in message
    assert "dev-" in message


def stopped(run, *parts):
    """The run as a training leaves it that was stopped: unmarked, without its last parts, with half-written ones."""
    marker = json.loads((run / "speechbench.json").read_text())
    (run / "speechbench.json").write_text(json.dumps({"kind": marker["kind"], "finished": False}))
    for part in parts:
        shutil.rmtree(run / part) if (run / part).is_dir() else (run / part).unlink()
    (run / f".{parts[0]}.elsewhere.1.part").mkdir()


@pytest.mark.slow
@pytest.mark.parametrize("parts", [("network", "decoding.json"), ("triphone", "network", "metrics.jsonl", "decoding.json")])
def test_a_stopped_training_goes_on_behind_its_last_stage(trained, sets, tmp_path, monkeypatch, parts):
    whole = made_of(trained)
    shutil.copytree(trained, tmp_path / "run")
    stopped(tmp_path / "run", *parts)
    monkeypatch.setattr("pipelines.phoneme.train.monophone", None)  # that stage is there
    train("pipeline", *sets, tmp_path / "run", "--resume")
    assert made_of(tmp_path / "run") == whole


def test_a_training_goes_on_with_its_own_settings_and_data_alone(trained, sets, tmp_path):
    shutil.copytree(trained, tmp_path / "run")
    stopped(tmp_path / "run", "network")
    with pytest.raises(SpeechbenchError, match=r"was begun with beam = 11.0, not 12.0"):
        train("pipeline", *sets, tmp_path / "run", "--resume", "beam=12")
    with pytest.raises(SpeechbenchError, match="other lines in its dev manifest"):
        train("pipeline", sets[0], sets[0], tmp_path / "run", "--resume")
    assert (tmp_path / "run" / "monophone").is_dir()


def test_resume_begins_what_was_not_begun(sets, tmp_path):
    made = train("pipeline", *sets, tmp_path / "run", "--resume", "acoustic=monophone")
    before = made_of(made)
    assert train("pipeline", *sets, tmp_path / "run", "--resume", "acoustic=monophone") == made  # finished: nothing to do
    assert made_of(made) == before
