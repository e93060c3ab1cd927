"""Outputs are written aside and renamed, so that nothing half-written ever looks finished."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from speechbench.errors import SpeechbenchError


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` when the block ends well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two machines of a cluster may have a process of one number, and one shared folder.
    aside = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.part{path.suffix}")
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def writing_folder(path: Path) -> Iterator[Path]:
    """The same for a folder, which must not exist yet."""
    aside = path.with_name(f".{path.name}.{platform.node()}.{os.getpid()}.part")
    aside.mkdir(parents=True)
    try:
        yield aside
        aside.replace(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    with writing(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, document: Any) -> None:
    """Write a JSON document that a person can read; paths in it become strings."""
    write_text(path, json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False, default=os.fspath) + "\n")


def write_json_lines(path: Path, rows: Iterable[Any]) -> None:
    """Write one JSON document a line."""
    with writing(path) as aside, aside.open("w", encoding="utf-8") as stream:
        for row in rows:
            stream.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON document.

    Raises:
        SpeechbenchError: The file is missing or is not JSON.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise SpeechbenchError(f"{path}: line {error.lineno}: not JSON: {error.msg}") from error


def read_text(path: Path) -> str:
    """Read a UTF-8 text file.

    Raises:
        SpeechbenchError: The file is missing, is a folder or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise SpeechbenchError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpeechbenchError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def read_lines(path: Path) -> list[str]:
    """The lines of a UTF-8 text file, which end at line feeds alone: `str.splitlines` would also cut a text at U+2028.

    Raises:
        SpeechbenchError: As `read_text`.
    """
    return list(lines_of(path)) or [""]


def lines_of(path: Path) -> Iterator[str]:
    """The same, one by one, so that a long file is never held whole.

    Raises:
        SpeechbenchError: As `read_text`.
    """
    try:
        with path.open(encoding="utf-8") as stream:
            for line in stream:
                yield line.removesuffix("\n")
    except FileNotFoundError as error:
        raise SpeechbenchError(f"{path}: no such file") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SpeechbenchError(f"{path}: cannot be read as UTF-8 text: {error}") from error


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


MARKER = "speechbench.json"


def check_claim(path: Path, overwrite: bool) -> None:
    """Refuse an output folder that exists, unless it is to be overwritten and this tool made it, finished or not.

    Raises:
        SpeechbenchError: The output exists and may not be overwritten.
    """
    if not path.exists() or (path.is_dir() and _is_bare(path)):
        return
    if not overwrite:
        raise SpeechbenchError(f"{path}: exists already; name another or add --overwrite")
    if not (path / MARKER).is_file():
        raise SpeechbenchError(f"{path}: is not a folder that speechbench made; it is left alone, name another")


def claim(path: Path, overwrite: bool) -> None:
    """Remove an output folder that may be overwritten; `check_claim` is for before a long work, this for after it.

    Raises:
        SpeechbenchError: As `check_claim`.
    """
    check_claim(path, overwrite)
    marker = path / MARKER
    if path.exists() and _is_bare(path):
        shutil.rmtree(path)
    elif marker.is_file():
        # Unfinished first and the marker last: wherever this is killed, what is left can be claimed again.
        write_json(marker, dict(read_json(marker)) | {"finished": False})
        for child in path.iterdir():
            if child.is_dir() and not child.is_symlink():
                shutil.rmtree(child)
            elif child != marker:
                child.unlink()
        shutil.rmtree(path)


def claim_file(path: Path, overwrite: bool) -> None:
    """Refuse an output file that exists; with `overwrite` it stays until `writing` replaces it.

    Raises:
        SpeechbenchError: The output exists, or is a folder.
    """
    if path.is_dir():
        raise SpeechbenchError(f"{path}: is a folder; name a file")
    if path.exists() and not overwrite:
        raise SpeechbenchError(f"{path}: exists already; name another or add --overwrite")


def keep_inputs(out: Path, inputs: Iterable[Path]) -> None:
    """Refuse an output folder that holds what is read to make it: overwriting would delete it.

    Raises:
        SpeechbenchError: Names the input.
    """
    whole = out.resolve()
    for path in sorted(set(inputs)):
        if path.resolve().is_relative_to(whole):
            raise SpeechbenchError(f"{out}: holds {path}, which is read to make it; name another folder with --out")


@contextmanager
def making(path: Path, kind: str, keep: bool = False, **facts: Any) -> Iterator[None]:
    """Make an output folder, marked as ours and unfinished, with facts for who resumes; call `mark` as the block's last act.

    An error of the user's removes the folder, unless it is to be kept (for its logs); anything else (a kill, a full disk)
    leaves it, unfinished.
    """
    path.mkdir(parents=True, exist_ok=True)
    write_json(path / MARKER, {"kind": kind, "finished": False, **facts})
    try:
        yield
    except SpeechbenchError:
        if not keep:
            shutil.rmtree(path)
        raise


def mark(path: Path, kind: str, **facts: Any) -> None:
    """Mark a folder as finished; call it last."""
    write_json(path / MARKER, {"kind": kind, "finished": True, **facts})


def is_finished(path: Path, kind: str) -> bool:
    """Whether a folder is a finished one of this kind."""
    return _facts(path, kind).get("finished") is True


def is_begun(path: Path, kind: str) -> bool:
    """Whether a folder is one of this kind, finished or not, or one that was killed before its marker was written."""
    return bool(_facts(path, kind)) or (path.is_dir() and _is_bare(path))


def _facts(path: Path, kind: str) -> dict[str, Any]:
    """What the marker of a folder of this kind says; nothing for any other folder."""
    marker = path / MARKER
    facts = read_json(marker) if marker.is_file() else None
    return facts if isinstance(facts, dict) and facts.get("kind") == kind else {}


def _is_bare(path: Path) -> bool:
    """Whether a folder holds nothing but the beginning of a marker."""
    return all(child.name.startswith(f".{MARKER}.") for child in path.iterdir())


def remove_asides(path: Path) -> None:
    """Remove what killed processes were writing anywhere in a folder; nothing may be writing there now."""
    for left in path.rglob(".*.part*"):
        if left.is_dir():
            shutil.rmtree(left)
        else:
            left.unlink(missing_ok=True)
