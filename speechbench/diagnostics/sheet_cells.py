"""Tables that people fill in with a spreadsheet: written so that nothing is mangled, read however it was saved.

A spreadsheet takes "007" for 7, "1-2" for a date and "=..." for a formula. So text that holds a digit, or begins like a
formula, gets an apostrophe in front, which is taken off when it is read; numbers are whole.

Source: the OWASP page on CSV injection, for the characters that begin a formula.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from speechbench.errors import SpeechbenchError, name_some
from speechbench.files import writing

Row = Mapping[str, str | int]
GUARD = "'"
RISKY = re.compile(r"[=+\-@\t\r']|.*\d|(true|false)$", re.IGNORECASE | re.DOTALL)
SEPARATORS = ",;\t"


def guard(text: str) -> str:
    """The text as a spreadsheet will leave it alone."""
    return GUARD + text if RISKY.match(text) else text


def unguard(cell: str) -> str:
    """The text of a cell that `guard` wrote."""
    text = cell.strip()
    return text[1:] if text.startswith(GUARD) else text


def write_table(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Write a table as CSV (RFC 4180), in UTF-8 with the mark that makes spreadsheets see it as such."""
    with writing(path) as aside, aside.open("w", encoding="utf-8-sig", newline="") as stream:
        table = csv.writer(stream, lineterminator="\r\n")
        table.writerow(columns)
        table.writerows(
            [cell if isinstance(cell, int) else guard(cell) for cell in map(row.__getitem__, columns)] for row in rows
        )


def read_table(path: Path, needed: Sequence[str]) -> tuple[list[str], list[dict[str, str]]]:
    """Read such a table after a spreadsheet had it: columns in any order, more of them, other separators and line ends.

    Args:
        path: The CSV file.
        needed: Columns without which it cannot be used. The first holds the ids.

    Returns:
        The names of its columns, and its rows; rows with nothing in them are left out.

    Raises:
        SpeechbenchError: No such file or not UTF-8, columns or ids that are missing or occur twice.
    """
    text = _decode(path)
    header = text.lstrip("\r\n").splitlines()[0] if text.strip() else ""
    separator = max(SEPARATORS, key=header.count)
    lines = [line for line in csv.reader(io.StringIO(text, newline=""), delimiter=separator) if any(map(str.strip, line))]
    columns = [_name(cell, needed) for cell in lines[0]] if lines else []
    if missing := [name for name in needed if name not in columns]:
        raise SpeechbenchError(
            f"{path}: line 1: the column {name_some(missing)} is missing; columns may be moved and added, but keep their names"
        )
    named = [name for name in columns if name]
    if twice := sorted({name for name in named if named.count(name) > 1}):
        raise SpeechbenchError(f"{path}: line 1: the column {name_some(twice)} occurs twice; rename one")
    rows = [
        {name: unguard(cell) for name, cell in zip(columns, line + [""] * len(columns), strict=False) if name}
        for line in lines[1:]
    ]
    _check_ids(path, [row[needed[0]] for row in rows])
    return named, rows


def read_whole(path: Path, row: Mapping[str, str], column: str) -> int:
    """A cell that holds a whole number, also where a spreadsheet gave it decimals.

    Raises:
        SpeechbenchError: It holds something else.
    """
    cell = row[column]
    match = re.fullmatch(r"(\d+)(?:[.,]0*)?", cell)
    if not match:
        raise SpeechbenchError(f"{path}: {row['id']}: '{column}' is '{cell}'; expected the whole number that was written there")
    return int(match[1])


def _decode(path: Path) -> str:
    try:
        data = path.read_bytes()
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        return data.decode("utf-16" if wide else "utf-8-sig")
    except FileNotFoundError as error:
        raise SpeechbenchError(f"{path}: no such file") from error
    except UnicodeDecodeError as error:
        raise SpeechbenchError(f"{path}: is not UTF-8; save it as 'CSV UTF-8'") from error
    except OSError as error:
        raise SpeechbenchError(f"{path}: cannot be read: {error.strerror}") from error


def _name(cell: str, needed: Sequence[str]) -> str:
    """A column's name; ours in whatever case."""
    name = unguard(cell)
    return next((own for own in needed if own == name.lower()), name)


def _check_ids(path: Path, ids: Sequence[str]) -> None:
    if not ids:
        raise SpeechbenchError(f"{path}: holds no row")
    if "" in ids:
        raise SpeechbenchError(f"{path}: {ids.count('')} rows have no id; leave the column as it was written")
    if twice := sorted({one for one in ids if ids.count(one) > 1}):
        raise SpeechbenchError(f"{path}: ids that occur twice: {name_some(twice)}; leave one row of each")
