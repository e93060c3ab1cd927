"""Recognisers with one planted fault each: the stages name exactly that."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from planted_scores import hmm_columns, plant

import pipelines.modes
import pipelines.words
from pipelines.graph import Graph, Topology
from pipelines.oracles import Oracles
from pipelines.searching import search
from speechbench.cli import diagnosis
from speechbench.diagnostics.gaps import Human
from speechbench.diagnostics.places import errors_in, near
from speechbench.diagnostics.repairs import Repairs, search_failed
from speechbench.diagnostics.report import diagnose
from speechbench.diagnostics.scored import ScoredSet
from speechbench.diagnostics.stages import STAGES, draw_errors, measure_stages
from speechbench.files import mark, write_json
from speechbench.language_model import train_ngram
from speechbench.lexicon import write_lexicon
from speechbench.manifest import Manifest, Utterance
from speechbench.recognizer import BEST, Hypothesis, Timed
from speechbench.score import align

PHONES = {
    "tea": (("T", "IY"),),
    "tee": (("T", "IY"),),
    "eat": (("IY", "T"),),
    "mate": (("M", "EY", "T"),),
    "meet": (("M", "IY", "T"),),
    "ate": (("EY", "T"),),
}
# Many words that begin alike, so that a narrow beam has states to drop.
SPELT = list(product(("EY", "IY", "M", "T"), repeat=6))
MANY = {"".join(SPELT[n]).lower(): (SPELT[n],) for n in np.random.default_rng(0).permutation(len(SPELT))[:300]}
HMM = Topology(("SIL", "EY", "IY", "M", "T"), "SIL", 2)
BEAM = 30.0


def errors(reference, hypothesis):
    return errors_in(align(reference.split(), hypothesis.split()))


def test_an_error_has_the_name_of_its_place():
    assert errors("a b c", "a x c") == {(1, 0)}
    assert errors("a b c", "b c") == {(0, 0)}
    assert errors("a b c", "a b y z c") == {(2, 1), (2, 2)}
    assert errors("a b c", "a b c") == set()
    assert len(errors("a b c d", "x b y z c")) == 4


def test_errors_beside_a_word_end_at_the_next_hit():
    alignment = align(list("abcdef"), list("axcyzf"))
    assert near(alignment, {1}) == {(1, 0)}
    assert near(alignment, {3}) == {(3, 0), (4, 0)}
    assert near(alignment, {0}) == set()


class Toy:
    """A recogniser of planted scores, with one fault."""

    def __init__(self, folder, texts, lexicon=PHONES, beam=BEAM, noise=0.0, clean_noise=None):
        train_ngram(texts, folder / "lm.arpa", 2)
        known = {word: (PHONES | MANY)[word] for word in lexicon}
        self.oracles = Oracles(Graph.build(HMM, known, folder / "lm.arpa"), HMM, known, 0.0)
        self.beam, self.noise, self.clean_noise, self.lexicon = beam, noise, clean_noise, known

    def scores(self, number, words, noise):
        units = [unit for word in words for unit in ("SIL", *(PHONES | MANY)[word][0])]
        scores = plant(hmm_columns(HMM, units, 2), HMM.columns, -3.0)
        return (scores + np.random.default_rng(number).normal(0, noise, scores.shape)).astype(np.float32)

    def hear(self, utterance, kind):
        words, number = utterance.words, int(utterance.id[1:])
        said = utterance.extra.get("said", utterance.text).split()
        scores = self.scores(number, said, self.clean_noise if kind == "clean" else self.noise)
        if kind == "words":
            path = self.oracles.words(words, scores)
        elif kind == "phonemes":
            path = self.oracles.phonemes(words, scores)
        elif kind == "language-model":
            path = self.oracles.language_model(words, scores, BEAM)
        else:
            path = search(self.oracles.graph, scores, self.beam)
        if path is None and kind == "words":
            return Hypothesis(utterance.id, utterance.text)
        oracle = kind if path is not None and kind in ("words", "phonemes", "language-model") else None
        path = path or search(self.oracles.graph, scores, self.beam)
        text = " ".join(path.words) if path else ""
        score = path.score if path and np.isfinite(path.score) else None
        return Hypothesis(utterance.id, text, score, oracle=oracle)

    def repairs(self, texts, said=None):
        rows = [
            Utterance(
                f"u{n}",
                Path("/absent.flac"),
                float(len(spoken.split())),
                text=text,
                speaker=f"s{n % 8}",
                extra={"said": spoken},
            )
            for n, (text, spoken) in enumerate(zip(texts, said or texts, strict=True))
        ]
        heard = {u.id: self.hear(u, "heard") for u in rows}
        sample = ScoredSet(Manifest(tuple(rows)), heard)
        wrong = [u for u in rows if u.text != heard[u.id].text]
        told = {kind: {u.id: self.hear(u, kind) for u in wrong} for kind in ("words", "phonemes", "language-model")}
        clean = {} if self.clean_noise is None else {u.id: self.hear(u, "clean") for u in wrong}
        return Repairs(
            sample,
            len(rows),
            frozenset(self.lexicon),
            aligned=told["words"],
            clean=clean,
            phonemes=told["phonemes"],
            language_model=told["language-model"],
        )


RICH = ["tea meet", "eat mate", "tea mate eat", "meet ate tea", "mate meet", "ate eat tea", "eat tea mate meet"]
SPREAD = [" ".join(np.random.default_rng(n).choice(list(MANY), 3)) for n in range(60)]
NARROW = {"texts": SPREAD, "lexicon": MANY, "beam": 2.0, "noise": 2.0}
FAULTS = {  # what is wrong with the recogniser, and what it reads
    "search": (NARROW, SPREAD),
    "front_end": ({"texts": RICH, "noise": 5.0, "clean_noise": 0.1}, RICH * 8),
    "acoustic_model": ({"texts": RICH, "noise": 5.0}, RICH * 8),
    "lexicon": ({"texts": RICH, "lexicon": [word for word in PHONES if word != "meet"]}, RICH * 8),
    "language_model": (
        {"texts": [*RICH, *["tee"] * 40, *["tee tee"] * 20]},
        ["tea", "tea", "eat tea", "mate tea eat", "mate"] * 8,
    ),
}


def test_wrong_transcripts_are_no_stage_s_fault(tmp_path):
    said = RICH * 8
    wrong = range(0, len(said), 5)
    texts = [said[n - 1] if n in wrong else text for n, text in enumerate(said)]
    document = measure_stages(Toy(tmp_path, RICH, noise=1.0).repairs(texts, said), 0)
    assert {row["name"] for row in document["stages"] if row["errors"]} == {"labels"}
    assert document["advice"][0]["cause"] == "labels"


def test_wrong_transcripts_are_named_whoever_speaks(tmp_path):
    """Six of 112 are wrong, all of two of eight speakers: were speakers drawn, a tenth of the draws would have none."""
    said = RICH * 16
    wrong = [number for number in range(0, len(said), 8) if number % 16 < 8][:3]
    wrong += [number + 3 for number in wrong]
    texts = [said[n - 1] if n in wrong else text for n, text in enumerate(said)]
    repairs = Toy(tmp_path, RICH, noise=1.0).repairs(texts, said)
    assert {u.speaker for u in repairs.sample.manifest if u.id in repairs.wrong} == {"s0", "s3"}
    document = measure_stages(repairs, 0)
    assert [row["cause"] for row in document["advice"]] == ["labels"]
    # Dev errs no more than people are said to, for all that its speakers can tell: transcripts are contradicted nonetheless.
    found = diagnose({"dev": repairs.sample}, human=Human(0.01, 0.01, 0.01), repairs=repairs)
    assert [one["cause"] for one in found.advice if one["cause"]][:1] == ["labels"]


@pytest.mark.parametrize("cause", list(FAULTS))
def test_the_planted_fault_comes_first(tmp_path, cause):
    fault, texts = FAULTS[cause]
    document = measure_stages(Toy(tmp_path, **fault).repairs(texts), 0)
    rows = {row["name"]: row for row in document["stages"]}
    assert list(rows)[: len(STAGES)] == list(STAGES)
    assert document["errors"] >= 10
    assert rows[cause]["share"] > 0.6, document["sentence"]
    assert document["advice"][0]["ceiling"] == rows[cause]["ceiling"] > 0
    assert document["advice"][0]["action"] == STAGES[cause].action.format(words="meet")
    assert sum(row["errors"] for row in rows.values()) == document["errors"]
    cumulative = [document["rate"], *(row["cumulative"] for row in rows.values())]
    assert cumulative == sorted(cumulative, reverse=True)
    assert cumulative[-1] == pytest.approx(0.0)
    assert rows[cause]["low"] <= rows[cause]["ceiling"] <= rows[cause]["high"]
    json.dumps(document, allow_nan=False)


def test_the_search_is_to_blame_only_where_the_reference_has_the_better_score(tmp_path):
    failed = measure_stages(Toy(tmp_path, **NARROW).repairs(SPREAD), 0)["verification"]
    assert failed["search"] > failed["model"] > 0
    models = measure_stages(Toy(tmp_path, RICH, noise=5.0).repairs(RICH * 8), 0)["verification"]
    assert models["search"] == 0 < models["model"]
    lacking = FAULTS["lexicon"][0]["lexicon"]
    unsaid = measure_stages(Toy(tmp_path, RICH, lexicon=lacking).repairs(RICH * 8), 0)["verification"]
    assert unsaid == {"search": 0, "model": 0, "cannot_be_said": 8 * 4, "score_is_unknown": 0}
    heard = Hypothesis("u", "a", score=-1000.0)
    assert not search_failed(heard, replace(heard, score=-999.95))  # no more than single precision
    assert search_failed(heard, replace(heard, score=-999.0))
    assert search_failed(replace(heard, score=None), heard) is None  # of another recogniser
    assert search_failed(replace(heard, score=None, text=""), heard)  # every path was lost


@pytest.mark.slow
def test_what_is_blamed_on_a_narrow_search_is_what_a_wide_one_mends(tmp_path):
    narrow = measure_stages(Toy(tmp_path, **NARROW).repairs(SPREAD), 0)
    wide = measure_stages(Toy(tmp_path, **NARROW | {"beam": BEAM}).repairs(SPREAD), 0)
    blamed = {row["name"]: row["errors"] for row in narrow["stages"]}["search"]
    assert blamed == pytest.approx(narrow["errors"] - wide["errors"], abs=2)
    assert wide["verification"]["search"] == 0


def test_what_is_alone_and_what_is_together(tmp_path):
    repairs = Toy(tmp_path, RICH, noise=5.0, clean_noise=3.0).repairs(RICH * 8)
    document = measure_stages(repairs, 0)
    rows = {row["name"]: row for row in document["stages"]}
    assert rows["acoustic_model"]["alone"] < rows["language_model"]["alone"] < document["rate"]
    assert rows["search"]["alone"] is rows["lexicon"]["alone"] is None
    assert rows["front_end"]["share"] > 0 and rows["acoustic_model"]["share"] > 0
    assert not any("not told apart" in note for note in document["notes"])
    climbed = measure_stages(repairs, 0, climbed=True)["advice"]
    assert [row["action"] for row in document["advice"] if row not in climbed] == [STAGES["front_end"].action]
    blind = measure_stages(replace(repairs, clean={}), 0)
    assert any("not told apart" in note for note in blind["notes"])


def test_errors_that_no_repair_reaches_are_undecided():
    utterance = Utterance("u", Path("/absent.flac"), 1.0, text="ola meet tea eat", speaker="s")
    sample = ScoredSet(Manifest((utterance,)), {"u": Hypothesis("u", "ole meet tea ate", score=1.0)})
    document = measure_stages(Repairs(sample, 1, frozenset(PHONES), {"u": Hypothesis("u", "ola meet tea eat")}), 0)
    assert {row["name"]: row["errors"] for row in document["stages"] if row["errors"]} == {"lexicon": 1, "undecided": 1}
    assert document["unknown_words"] == [{"word": "ola", "occurrences": 1}]
    assert any("Undecided" in note for note in document["notes"])


def test_no_errors_blame_nobody():
    utterance = Utterance("u", Path("/absent.flac"), 1.0, text="tea", speaker="s")
    document = measure_stages(Repairs(ScoredSet(Manifest((utterance,)), {"u": Hypothesis("u", "tea")}), 1, {"tea"}, {}), 0)
    assert (document["sentence"], document["advice"], document["notes"]) == ("There are no errors to blame on a part.", [], [])


def test_phonemes_are_compared_with_those_of_the_aligned_reference():
    utterance = Utterance("u", Path("/absent.flac"), 1.0, text="meet", speaker="s")

    def spoken(text, units, **more):
        phonemes = tuple(Timed(unit, n, n + 1.0) for n, unit in enumerate(units))
        return Hypothesis("u", text, score=0.0, phonemes=phonemes, **more)

    sample = ScoredSet(Manifest((utterance,)), {"u": spoken("mate", ["M", "EY", "T"])})
    aligned = {"u": spoken("meet", ["M", "IY", "T"], oracle="words")}
    (row,) = measure_stages(Repairs(sample, 1, PHONES, aligned), 0)["phonemes"]
    assert (row["error"], row["count"]) == ("(IY->EY)", 1)


def test_a_draw_has_the_errors_rate_of_its_set():
    rows = [Utterance(f"u{n}", Path("/absent.flac"), 1.0, text="tea eat", speaker=f"s{n % 8}") for n in range(400)]
    heard = {u.id: Hypothesis(u.id, "tea" if n % 4 == 0 else "tea eat") for n, u in enumerate(rows)}
    whole = ScoredSet(Manifest(tuple(rows)), heard)
    drawn = draw_errors(whole, 30, 0)
    assert int((drawn.errors > 0).sum()) == 30
    assert drawn.score.total.rate == pytest.approx(0.125, abs=0.04)
    assert draw_errors(whole, 100, 0).manifest == whole.manifest
    assert draw_errors(whole, 30, 0).manifest == drawn.manifest


class Scripted:
    """Says the second word wrong, unless its phonemes are right."""

    def transcribe(self, data, skipped, request=BEST):
        for utterance in data:
            first, *rest = utterance.words
            right = request.oracle in ("phonemes", "words")
            text = utterance.text if right else " ".join([first, *("eat" for _ in rest)])
            yield Hypothesis(utterance.id, text, score=-1.0 if request.oracle == "words" else 0.0, oracle=request.oracle)


def test_from_the_command_line(tmp_path, monkeypatch):
    monkeypatch.setattr(pipelines.modes, "open_recognizer", lambda run: Scripted())
    rows = [Utterance(f"u{n}", Path("/absent.flac"), 1.0, text="tea mate", speaker=f"s{n % 8}") for n in range(40)]
    Manifest(tuple(rows)).write(tmp_path / "dev.jsonl")
    write_json(tmp_path / "run" / "provenance.json", {"manifests": {}})
    write_lexicon(tmp_path / "run" / pipelines.words.LEXICON, PHONES)
    mark(tmp_path / "run", "run")
    arguments = [str(tmp_path / "run"), "--dev", str(tmp_path / "dev.jsonl"), "--most", "15", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(diagnosis.diagnose, [*arguments, "--stages"], catch_exceptions=False)
    assert "acoustic model 15 (100 %)" in result.output
    document = json.loads((tmp_path / "out" / "report.json").read_text())["stages"]
    assert document["erroneous"] == 15
    assert f"Drawn: {document['utterances']} of 40 utterances, 15 of them with errors." in document["notes"]
    assert document["verification"]["model"] == 15
    result = CliRunner().invoke(diagnosis.diagnose, [*arguments, "--overwrite"], catch_exceptions=False)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["stages"] is None
