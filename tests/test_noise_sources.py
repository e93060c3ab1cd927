import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from speechbench import manifest
from speechbench.diagnostics.scored import ScoredSet
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Utterance
from speechbench.recognizer import Hypothesis

sys.path.append(str(Path(__file__).parent / "benchmarks"))

import noise_sources as study_of
import noise_sources_table as table
from noise_sources_sets import (
    CLEAN,
    SHORTEST_STRETCH,
    TRAIN_SHARE,
    UNSEEN_SOURCES,
    Kind,
    Study,
    heard_stretches,
    other_stretches,
    sources_of,
    unseen_sources,
)

ROOT = Path(__file__).parents[1]


def recording(name, source, seconds=30.0):
    return Utterance(name, Path(f"/noise/{name}.flac"), seconds, offset=2.0, extra={"source": source})


def study(tmp_path, **changes):
    settings = Study(tmp_path, 24.0, (1, 4, 16), (1, 8), 16, ("pipeline", "e2e"), 2, (-5.0, 5.0), None)
    return replace(settings, **changes)


@pytest.mark.parametrize("seconds", [1.5, 22.5, 90.0, 216.0])
def test_heard_stretches_hold_the_seconds_that_are_asked_for(seconds):
    recordings = [recording(f"r{number}", "car") for number in range(12)]
    stretches = heard_stretches(recordings, seconds)
    assert sum(one.duration for one in stretches) == pytest.approx(seconds)
    assert min(one.duration for one in stretches) >= min(seconds, SHORTEST_STRETCH)
    assert len({one.id for one in stretches}) == len(stretches)


def test_short_recordings_give_all_that_may_be_trained_on():
    stretches = heard_stretches([recording("r", "rain", 5.0)], 100.0)
    assert [one.duration for one in stretches] == [pytest.approx(TRAIN_SHARE * 5.0)]


def test_what_is_heard_and_what_is_not_never_overlap():
    recordings = [recording(f"r{number}", "car") for number in range(3)]
    ends = {one.id: one.offset + one.duration for one in heard_stretches(recordings, 1000.0)}
    for one in other_stretches(recordings):
        assert one.offset >= ends[one.id] - 1e-9
        assert one.offset + one.duration == pytest.approx(2.0 + 30.0)


def test_cells_share_the_noise_sets_and_are_all_different(tmp_path):
    cells = study_of.cells_of(study(tmp_path))
    assert len({cell.name for cell in cells}) == len(cells)
    kinds = [Kind(1, 1), Kind(4, 1), Kind(16, 1), Kind(16, 8)]
    assert len(cells) == 2 + 2 * 2 * len(kinds)
    assert {cell.kind for cell in cells} == {CLEAN, *kinds}


def test_a_source_needs_what_the_hungriest_noise_set_takes_of_it(tmp_path):
    seconds = [study(tmp_path).seconds_of(rank) for rank in range(16)]
    assert seconds == [1440.0] + [360.0] * 3 + [90.0] * 12


def test_recorded_sources_are_seen_or_unseen_whatever_the_seed(tmp_path):
    path = tmp_path / "noise.jsonl"
    count = UNSEEN_SOURCES + 10
    Manifest(tuple(recording(f"r{n}-{take}", f"s{n}") for n in range(count) for take in range(2))).write(path)
    recorded = study(tmp_path, noise=path)

    def names(sources):
        return [recordings[0].extra["source"] for recordings in sources]

    first, second, unseen = names(sources_of(recorded, 0)), names(sources_of(recorded, 1)), names(unseen_sources(recorded))
    assert len(unseen) == UNSEEN_SOURCES and len(set(first + unseen)) == count
    assert first != second and set(first) == set(second)
    assert all(len(recordings) == 2 for recordings in sources_of(recorded, 0))


def test_recordings_without_a_source_are_refused(tmp_path):
    path = tmp_path / "noise.jsonl"
    Manifest((Utterance("r", tmp_path / "r.flac", 1.0),)).write(path)
    with pytest.raises(SpeechbenchError, match=r"r has no 'source'"):
        sources_of(study(tmp_path, noise=path), 0)


def test_a_folder_with_other_settings_is_refused(tmp_path):
    study_of._same_study(study(tmp_path))
    study_of._same_study(study(tmp_path, seeds=5, modes=("e2e",)))
    with pytest.raises(SpeechbenchError, match="other settings"):
        study_of._same_study(study(tmp_path, minutes=10.0))


def scored(wrong_of):
    """100 utterances of 4 words by 8 speakers; `wrong_of` says how many words of an utterance go wrong."""
    noises = [[{"source": f"n{n % 10}"}] for n in range(100)]
    utterances = tuple(
        Utterance(f"u{n}", Path("/u.flac"), 2.0, text="a b c d", speaker=f"s{n % 8}", extra={"noise": noise})
        for n, noise in enumerate(noises)
    )
    texts = {u.id: " ".join(["x"] * wrong_of(n) + u.words[wrong_of(n) :]) for n, u in enumerate(utterances)}
    return ScoredSet(Manifest(utterances), {key: Hypothesis(key, text) for key, text in texts.items()})


def test_pooled_seeds_count_every_error_once_and_keep_the_speakers():
    pooled = table.pool([scored(lambda n: 1), scored(lambda n: n % 2)])
    assert (pooled.score.total.errors, pooled.score.total.words) == (150, 800)
    assert len({utterance.speaker for utterance in pooled.manifest}) == 8


def figures_of(rates):
    """Rows of the table from the share of utterances with an error, by kind; two seeds."""
    found = {}
    for kind, (seen, unseen) in rates.items():
        sets = {"heard": 0.1, "seen": seen, "unseen": unseen, "clean": 0.0}
        cell = {name: scored(lambda n, share=share: int(n // 10 < 10 * share)) for name, share in sets.items()}
        found["pipeline", kind] = {0: cell, 1: cell}
    return [
        {"mode": "pipeline", **kind._asdict(), "repeats_mean": 1.0, **table._figures(found, "pipeline", kind)} for kind in rates
    ]


def test_costs_and_thresholds_are_found_where_they_were_planted():
    rows = figures_of(
        {
            Kind(1, 1): (0.2, 0.9),
            Kind(4, 1): (0.2, 0.5),
            Kind(16, 1): (0.2, 0.2),
            Kind(64, 1): (0.2, 0.2),
            Kind(16, 4): (0.2, 0.2),
            Kind(16, 64): (0.2, 0.8),
        }
    )
    cost = {(row["sources"], row["uses"]): row["cost"] for row in rows}
    assert cost[64, 1] is None
    assert cost[4, 1]["rate"] == pytest.approx(0.3 / 4) and cost[4, 1]["by_seed"] == pytest.approx([0.3 / 4] * 2)
    assert cost[16, 64]["rate"] == pytest.approx(0.6 / 4)  # against Kind(16, 1)
    assert rows[0]["gaps"]["unseen - seen"]["rate"] == pytest.approx(0.7 / 4)
    assert rows[0]["gaps"]["seen - heard"]["rate"] == pytest.approx(0.1 / 4)
    assert table.thresholds(rows) == {"fewest_sources": 16, "costly_sources": 4, "most_uses": 4, "costly_uses": 64}


def test_without_costs_the_smallest_noise_set_will_do():
    rows = figures_of({Kind(1, 1): (0.2, 0.2), Kind(64, 1): (0.2, 0.2)})
    assert table.thresholds(rows) == {"fewest_sources": 1, "costly_sources": None, "most_uses": None, "costly_uses": None}


def test_a_cost_within_chance_or_below_a_tenth_is_none():
    assert not table.is_costly({"rate": 0.05, "low": -0.01, "high": 0.1, "reference": 0.1})
    assert not table.is_costly({"rate": 0.009, "low": 0.004, "high": 0.014, "reference": 0.1})
    assert table.is_costly({"rate": 0.02, "low": 0.01, "high": 0.03, "reference": 0.1})


def test_the_table_shows_rates_with_counts_and_every_row():
    rows = figures_of({Kind(1, 1): (0.2, 0.9), Kind(64, 1): (0.2, 0.2)})
    text = table.markdown({"rows": rows, "thresholds": table.thresholds(rows)})
    assert "[180/800]" in text and "[40/800]" in text
    assert "by seed +17.5, +17.5" in text
    assert "- sources: 64 are not costly, 1 are." in text
    body = [line for line in text.splitlines() if line.startswith("|")]
    assert len(body) == 4 and len({line.count("|") for line in body}) == 1


def test_a_cut_off_line_counts_as_no_result(tmp_path):
    (tmp_path / table.RESULTS).write_text(json.dumps({"name": "a"}) + '\n{"name": "b", "se')
    assert list(table.finished(tmp_path)) == ["a"]


def test_the_section_of_the_document_is_replaced_and_nothing_else(tmp_path):
    path = tmp_path / "noise-budget.md"
    before = (ROOT / "docs" / "noise-budget.md").read_text()
    path.write_text(before)
    for name in ("cars", "recordings"):
        table.write_section(path, name, f"A table of {name}\\1.")
    after = path.read_text()
    assert after.count("A table of cars\\1.") == after.count("A table of recordings\\1.") == 1
    assert after.splitlines()[0] == before.splitlines()[0] and after.splitlines()[-1] == before.splitlines()[-1]
    table.write_section(path, "cars", "Another.")
    assert "A table of cars" not in path.read_text()
    with pytest.raises(SpeechbenchError, match="lacks the lines"):
        table.write_section(path, "boats", "")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_smallest_study_runs_stops_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.setitem(study_of.SETTINGS, "pipeline", ("gmm.gaussians=1", "gmm.iterations=1", "network.epochs=1", "beam=5"))
    briefly = ("training.epochs=1", "encoder.size=0.3M", "beam=5")
    monkeypatch.setitem(study_of.SETTINGS, "e2e", briefly)
    monkeypatch.setattr(study_of, "START", briefly)
    small = study(tmp_path, minutes=1.0, sources=(1, 2), uses=(), uses_sources=2, seeds=1)
    study_of.report(small, 1, None)
    (tmp_path / table.RESULTS).write_text((tmp_path / table.RESULTS).read_text()[:-20])
    trained = (tmp_path / "runs" / "pipeline-sources2-uses1-seed0" / "config.json").stat().st_mtime_ns
    study_of.report(small, 1, None)
    assert (tmp_path / "runs" / "pipeline-sources2-uses1-seed0" / "config.json").stat().st_mtime_ns == trained
    document = json.loads((tmp_path / "results.json").read_text())
    for mode in small.modes:
        assert [(row["sources"], sorted(row["sets"])) for row in document["rows"] if row["mode"] == mode] == [
            (0, ["clean", "unseen"]),
            (1, ["clean", "heard", "seen", "unseen"]),
            (2, ["clean", "heard", "seen", "unseen"]),
        ]
    sets = [manifest.read(tmp_path / "sets" / name / "manifest.jsonl") for name in ("unseen", "sources1-uses1-seed0/seen")]
    np.testing.assert_array_equal(*[[u.extra["snr_db_requested"] for u in one] for one in sets])
    assert [u.text for u in sets[0]] == [u.text for u in sets[1]]
