import csv
import io

import numpy as np
import pytest
from planted_errors import plant

from speechbench.diagnostics.sheet import Known, write_sheet
from speechbench.diagnostics.sheet_count import Sheet, count_tag, count_tags, tell
from speechbench.diagnostics.sheet_ear import Ear
from speechbench.errors import SpeechbenchError


def fill(path, fill_row, add=()):
    """Fill a sheet in as a person would: `fill_row(number, row)` changes cells, `add` names new columns."""
    rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    for number, row in enumerate(rows):
        row |= dict.fromkeys(add, "")
        fill_row(number, row)
    with path.open("w", encoding="utf-8-sig", newline="") as stream:
        table = csv.DictWriter(stream, [*add, *reversed(list(rows[0])[: -len(add) or None])], delimiter=";")
        table.writeheader()
        table.writerows(rows)
    return rows


@pytest.fixture
def sheet(tmp_path):
    scored = plant("dev", 0.1, utterances=400, noise=True)
    ear = Ear.draw(scored, 100, 0).look(scored, "first")
    assert write_sheet(tmp_path / "sheet.csv", scored, ear, Known()) == 100
    return tmp_path / "sheet.csv", ear


@pytest.mark.parametrize(("dogs", "best"), [(5, 0.095), (50, 0.05)])
def test_dogs_lower_an_error_of_10_to_at_best(dogs, best):
    row = count_tag([n < dogs for n in range(100)], [1] * 100, 0.10)
    assert row["best"] == pytest.approx(best)
    assert row["ceiling"] == pytest.approx(0.10 - best)
    assert row["low"] < row["ceiling"] < row["high"]


def test_kinds_may_overlap(sheet):
    """Dog 8, great cat 43, blurry 61: more than all together."""
    path, ear = sheet
    kinds = {"dog": range(8), "great cat": range(8, 51), "blurry": range(39, 100)}

    def tag(number, row):
        row["tags"] = "; ".join(name for name, rows in kinds.items() if number in rows and name != "blurry")
        row["blurry"] = "x" if number in kinds["blurry"] else ""

    fill(path, tag, ["blurry"])
    rows = {row["tag"]: row for row in count_tags(Sheet.read(path), ear)["tags"]}
    assert {name: row["utterances"] for name, row in rows.items()} == {"dog": 8, "great cat": 43, "blurry": 61}
    assert {name: row["alone"] for name, row in rows.items()} == {"dog": 8, "great cat": 31, "blurry": 49}
    assert sum(row["share"] for row in rows.values()) > 1


def test_ceilings_are_of_the_whole_dev_set_and_shares_of_the_errors_read(sheet):
    path, ear = sheet
    fill(path, lambda number, row: row.update(tags="all"))
    document = count_tags(Sheet.read(path), ear)
    assert document["read"] == 100 and document["tell"] == "very well" and document["notes"] == []
    (row,) = document["tags"]
    assert row["share"] == 1 and row["ceiling"] == pytest.approx(document["rate"]) and row["best"] == pytest.approx(0)
    suggested = {row["tag"]: row for row in document["suggested"]}
    assert suggested["noise city"]["errors"] + suggested["noise rain"]["errors"] == document["errors"]


def test_ten_errors_tell_very_little_and_a_hundred_very_well():
    assert [tell(read) for read in (10, 20, 50, 100)] == ["very little", "roughly", "well", "very well"]
    widths = []
    for read in (10, 20, 50, 100):
        row = count_tag([n < read * 0.3 for n in range(read)], [1] * read, 0.10)
        widths.append(row["high"] - row["low"])
    assert widths == sorted(widths, reverse=True) and widths[0] > 2.5 * widths[-1]


def test_an_interval_covers_what_all_errors_would_say():
    rng = np.random.default_rng(0)
    inside = 0
    for number in range(100):
        errors = rng.integers(1, 4, 100)
        row = count_tag(rng.random(100) < 0.2, errors, 0.10, str(number))
        inside += row["low"] <= 0.02 <= row["high"]
    assert 88 <= inside <= 100


def test_the_values_of_an_added_column(sheet):
    path, ear = sheet
    values = ["x", "yes", "0", "no", "", "male", "male"]
    fill(path, lambda number, row: row.update(voice=values[number] if number < len(values) else ""), ["voice"])
    rows = {row["tag"]: row["utterances"] for row in count_tags(Sheet.read(path), ear)["tags"]}
    assert rows == {"voice": 2, "voice: male": 2}


def test_rows_that_were_not_read_are_deleted_by_the_reader(sheet):
    path, ear = sheet
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    path.write_text("\n".join(lines[:11]), encoding="utf-8")
    document = count_tags(Sheet.read(path), ear)
    assert document["read"] == 10 and document["tags"] == []
    assert "very little" in document["notes"][0] and "10 of 10 rows carry neither tag nor comment" in document["notes"][1]


def test_a_changed_id_or_look_is_refused(sheet):
    path, ear = sheet
    whole = path.read_text(encoding="utf-8-sig")
    first = whole.splitlines()[1].split(",")[0]
    path.write_text(whole.replace(first, "'1-Feb", 1), encoding="utf-8")
    with pytest.raises(SpeechbenchError, match="changed in the sheet: 1-Feb"):
        count_tags(Sheet.read(path), ear)
    path.write_text(whole, encoding="utf-8")
    with pytest.raises(SpeechbenchError, match="look 1, and Ear was looked at 0 times"):
        count_tags(Sheet.read(path), Ear(ear.ids, ear.words, ear.size))
