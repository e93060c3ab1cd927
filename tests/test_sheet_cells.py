import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechbench.diagnostics.sheet_cells import guard, read_table, read_whole, unguard, write_table
from speechbench.errors import SpeechbenchError

COLUMNS = ("id", "text", "number")
TRICKY = [
    "007",
    "1e5",
    "1-2",
    "=SUM(A1)",
    "+1",
    "-x",
    "@x",
    "'quoted",
    "true",
    "3,5",
    'say "hi"',
    "ü; ä, ß",
    "two\nlines",
    "mar1",
]


def table(path):
    rows = [{"id": f"utterance {n}-{text}", "text": text, "number": n} for n, text in enumerate(TRICKY)]
    write_table(path, COLUMNS, rows)
    return rows


def save_again(path, *, separator=",", order=None, add=None, encoding="utf-8-sig", ends="\r\n"):
    """As a spreadsheet would, which keeps the text of its cells."""
    rows = list(csv.reader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    rows = [
        [row[n] for n in order or range(len(row))] + ([add if number else "child"] if add else [])
        for number, row in enumerate(rows)
    ]
    with path.open("w", encoding=encoding, newline="") as stream:
        csv.writer(stream, delimiter=separator, lineterminator=ends).writerows(rows)


def test_a_spreadsheet_sees_utf_8_and_its_own_line_ends(tmp_path):
    table(tmp_path / "t.csv")
    data = (tmp_path / "t.csv").read_bytes()
    assert data.startswith(b"\xef\xbb\xbfid,text,number\r\n")
    assert data.count(b"\r\n") == len(TRICKY) + 1


def test_no_cell_of_text_is_a_formula_a_number_or_a_date(tmp_path):
    table(tmp_path / "t.csv")
    for row in csv.reader(io.StringIO((tmp_path / "t.csv").read_text(encoding="utf-8-sig"), newline="")):
        for cell in row[:2]:
            assert cell[0] not in "=+-@" and (cell[0] == "'" or not any(map(str.isdigit, cell)))
            assert cell.lower() not in ("true", "false")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"separator": ";"},
        {"separator": "\t", "encoding": "utf-16"},
        {"order": (2, 0, 1), "ends": "\n", "encoding": "utf-8"},
        {"add": "x", "separator": ";", "order": (1, 2, 0)},
    ],
)
def test_a_table_comes_back_however_it_was_saved(tmp_path, changes):
    rows = table(tmp_path / "t.csv")
    save_again(tmp_path / "t.csv", **changes)
    columns, found = read_table(tmp_path / "t.csv", COLUMNS)
    assert set(columns) == {*COLUMNS, *(["child"] if "add" in changes else [])}
    assert [(row["id"], row["text"]) for row in found] == [(row["id"], row["text"]) for row in rows]
    assert [read_whole(tmp_path / "t.csv", row, "number") for row in found] == [row["number"] for row in rows]
    assert all(row["child"] == "x" for row in found if "add" in changes)


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1))
def test_guarding_loses_nothing(text):
    text = text.strip()
    if text:
        assert unguard(guard(text)) == text
        assert guard(text)[0] not in "=+-@"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "column id, number is missing"),
        ("id,text\na,b\n", "column number is missing"),
        ("id,number,number\na,1,2\n", "column number occurs twice"),
        ("id,number\n", "holds no row"),
        ("id,number\na,1\na,2\n", "occur twice: a"),
        ("id,number\n,1\n", "1 rows have no id"),
    ],
)
def test_a_broken_table_is_refused(tmp_path, content, message):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(SpeechbenchError, match=message):
        read_table(tmp_path / "t.csv", ("id", "number"))


def test_other_encodings_and_mangled_numbers_are_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes("id,number\nä,1\n".encode("cp1252"))
    with pytest.raises(SpeechbenchError, match="CSV UTF-8"):
        read_table(tmp_path / "t.csv", ("id", "number"))
    with pytest.raises(SpeechbenchError, match="no such file"):
        read_table(tmp_path / "absent.csv", ("id",))
    assert read_whole(tmp_path, {"id": "a", "number": "12.00"}, "number") == 12
    with pytest.raises(SpeechbenchError, match=r"a: 'number' is '1\.5'; expected the whole number"):
        read_whole(tmp_path, {"id": "a", "number": "1.5"}, "number")
