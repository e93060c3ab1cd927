import csv
import io

import numpy as np
import pytest
from planted_labels import doubt

from speechbench.diagnostics.labels import suspect_labels
from speechbench.diagnostics.labels_estimate import estimate_labels, fix_or_leave
from speechbench.diagnostics.labels_sheet import ERROR, RIGHT, SUSPECT, read_checks, write_checks
from speechbench.diagnostics.patch import Correction, cost
from speechbench.errors import SpeechbenchError


def check(path, planted, most=40, others=80, seed=0, rows=None):
    """Write the sheet, and let a person who knows the truth check it (its first rows only, if asked)."""
    found = suspect_labels(planted.scored, planted.references, planted.rival)
    write_checks(path, planted.scored, planted.rival, found, most, others, seed)
    lines = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    for line in lines[:rows]:
        truth = planted.truth[line["id"].lstrip("'")]
        line.update({"corrected": truth} if truth != line["reference"] else {"checked": "x"})
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, list(lines[0]))
        table.writeheader()
        table.writerows(lines)
    return read_checks(path)


@pytest.mark.parametrize(
    ("rate", "labels", "verdict"), [(0.10, 0.006, "leave"), (0.02, 0.006, "fix"), (0.0, 0.0, "leave"), (0.02, 0.0, "leave")]
)
def test_fix_or_leave_by_the_share_of_the_error(rate, labels, verdict):
    assert fix_or_leave(rate, labels)[0] == verdict


def test_an_interval_over_the_line_is_undecided():
    assert fix_or_leave(0.02, 0.006, 0.001, 0.011)[0] == "undecided"
    assert fix_or_leave(0.02, 0.006, 0.005, 0.011)[0] == "fix"
    assert fix_or_leave(0.10, 0.006, 0.001, 0.012)[0] == "leave"


def test_the_sheet_has_suspects_and_a_sample_of_the_rest_right_answers_among_it(tmp_path):
    planted = doubt()
    checks = check(tmp_path / "c.csv", planted)
    parts = [one.part for one in checks.checked]
    assert (parts.count(SUSPECT), parts.count(ERROR), parts.count(RIGHT)) == (40, 40, 40)
    assert sum(checks.sizes.values()) == len(planted.scored.manifest)
    counts = planted.scored.score.counts
    assert all(counts[one.id].errors == 0 for one in checks.checked if one.part == RIGHT)
    assert {one.id for one in checks.patch(planted.scored)} <= planted.wrong


def true_cost(planted):
    """The errors, as a rate, that are due to wrong transcripts, and those that they hide, when all were corrected."""
    corrections = tuple(
        Correction(u.id, u.text, planted.truth[u.id], "") for u in planted.scored.manifest if u.id in planted.wrong
    )
    costs = cost(planted.scored, corrections).values()
    words = planted.scored.score.total.words
    return sum(max(0, one) for one in costs) / words, sum(max(0, -one) for one in costs) / words


@pytest.mark.slow
def test_the_estimate_covers_what_wrong_transcripts_cause(tmp_path):
    """Few suspects are checked, so that the sample of the rest has to tell; nearly every interval holds the truth."""
    inside, values, truths = [], [], []
    for seed in range(12):
        planted = doubt(share=0.1, seed=seed)
        found = estimate_labels(check(tmp_path / f"{seed}.csv", planted, most=15, others=60, seed=seed), planted.scored)
        caused, hidden = true_cost(planted)
        inside += [found["caused"]["low"] <= caused <= found["caused"]["high"]]
        inside += [found["hidden"]["low"] <= hidden <= found["hidden"]["high"]]
        values.append(found["caused"]["value"])
        truths.append(caused)
    assert np.mean(inside) >= 0.85
    assert np.mean(values) == pytest.approx(np.mean(truths), rel=0.2)


def test_who_checks_everything_knows(tmp_path):
    planted = doubt()
    found = estimate_labels(check(tmp_path / "c.csv", planted, most=400), planted.scored)
    caused, _ = true_cost(planted)
    assert found["caused"] == pytest.approx({"value": caused, "low": caused, "high": caused})
    assert found["unchecked"] == pytest.approx(0) and found["wrong"] == len(planted.wrong)


def test_no_wrong_transcript_found_is_not_none(tmp_path):
    planted = doubt(share=0.0)
    found = estimate_labels(check(tmp_path / "c.csv", planted), planted.scored)
    assert found["wrong"] == 0 and found["caused"]["value"] == 0 < found["caused"]["high"]
    assert found["hidden"]["high"] > 0


def test_a_part_that_nobody_checked_is_named(tmp_path):
    planted = doubt()
    found = estimate_labels(check(tmp_path / "c.csv", planted, rows=40), planted.scored)
    assert found["parts"][SUSPECT]["checked"] == 40
    assert "None was checked of: other error, right answer" in found["notes"][0]
    assert "dev and test alike" in found["notes"][-1]


def test_nothing_checked_is_refused(tmp_path):
    with pytest.raises(SpeechbenchError, match="no row is checked"):
        check(tmp_path / "c.csv", doubt(), rows=0)
