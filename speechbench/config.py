"""Configs: a TOML file and `--set key=value` onto frozen dataclasses that document themselves."""

from __future__ import annotations

import dataclasses
import math
import tomllib
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from speechbench.errors import SpeechbenchError, unknown_name
from speechbench.files import read_text

C = TypeVar("C")


def load(kind: type[C], path: Path | None = None, settings: Sequence[str] = ()) -> C:
    """The config of a command: the defaults, then the file, then the settings.

    Args:
        kind: A frozen dataclass whose fields have defaults; a field may be another such dataclass (a TOML table).
        path: A TOML file.
        settings: "key=value" or "table.key=value", the value in TOML's notation or a bare string.

    Raises:
        SpeechbenchError: An unknown key (with the nearest known ones), a wrong type, a file that is not TOML.
    """
    document: dict[str, Any] = {}
    if path is not None:
        try:
            document = tomllib.loads(read_text(path))
        except tomllib.TOMLDecodeError as error:
            raise SpeechbenchError(f"{path}: not TOML: {error}") from error
    for setting in settings:
        _put(document, setting)
    return build(kind, document, str(path) if path else "--set")


def build(kind: type[C], document: dict[str, Any], where: str) -> C:
    """A frozen dataclass from a TOML or JSON document; `where` names its origin in errors."""
    return typing.cast(C, _build(kind, document, where, ""))


def files_named(config: Any) -> list[Path]:
    """The files that a config names, its tables included.

    Raises:
        SpeechbenchError: One of them is missing.
    """
    found: list[Path] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if isinstance(value, Path):
            if not value.is_file():
                raise SpeechbenchError(f"{value}: no such file; the config key '{field.name}' names it")
            found.append(value)
        elif dataclasses.is_dataclass(value):
            found += files_named(value)
    return found


def check_bounds(config: Any, **bounds: tuple[float, float]) -> None:
    """Refuse numbers that lie outside their bounds, both ends included; for `__post_init__`.

    Raises:
        ValueError: Names the key; `build` adds where it stands.
    """
    for name, (low, high) in bounds.items():
        value = getattr(config, name)
        if not (low <= value <= high and math.isfinite(value)):  # NaN is outside all bounds
            expected = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
            raise ValueError(f"'{name}' is {value:g}; expected {expected}")


def _put(document: dict[str, Any], setting: str) -> None:
    key, found, text = setting.partition("=")
    if not found or not key:
        raise SpeechbenchError(f"--set {setting}: expected key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *tables, last = key.strip().split(".")
    for table in tables:
        document = document.setdefault(table, {})
        if not isinstance(document, dict):
            raise SpeechbenchError(f"--set {setting}: '{table}' is a value, not a table")
    document[last] = value


def _build(kind: Any, document: dict[str, Any], where: str, table: str) -> Any:
    hints = typing.get_type_hints(kind)
    values = {}
    for key, value in document.items():
        if key not in hints:
            raise SpeechbenchError(f"{where}: {unknown_name('config key', table + key, (table + name for name in hints))}")
        values[key] = _convert(value, hints[key], where, table + key)
    try:
        return kind(**values)
    except ValueError as error:
        inside = f"[{table[:-1]}] " if table else ""
        raise SpeechbenchError(f"{where}: {inside}{error}") from error


def _convert(value: Any, hint: Any, where: str, key: str) -> Any:
    if dataclasses.is_dataclass(hint):
        if not isinstance(value, dict):
            raise SpeechbenchError(
                f"{where}: '{key}' is a table; set a key in it, for example {key}.{dataclasses.fields(hint)[0].name}"
            )
        return _build(hint, value, where, key + ".")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in arguments:
            return None
        # A table is meant for the dataclass among the alternatives, anything else for the others.
        others = [a for a in arguments if a is not type(None)]
        fitting = [a for a in others if dataclasses.is_dataclass(a) == isinstance(value, dict)]
        return _convert(value, (fitting or others)[0], where, key)
    if origin is typing.Literal:
        if value not in arguments:
            raise SpeechbenchError(f"{where}: {unknown_name(key, str(value), map(str, arguments))}")
        return value
    if origin is tuple and isinstance(value, list | tuple):
        inner = [arguments[0]] * len(value) if arguments[-1] is Ellipsis else arguments
        if len(inner) != len(value):
            raise SpeechbenchError(f"{where}: '{key}' takes {len(inner)} values, got {len(value)}")
        return tuple(_convert(v, h, where, key) for v, h in zip(value, inner, strict=True))
    if origin is dict and isinstance(value, dict):
        return {name: _convert(item, arguments[1], where, f"{key}.{name}") for name, item in value.items()}
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint is Path and isinstance(value, str):
        return Path(value)
    if isinstance(hint, type) and isinstance(value, hint) and isinstance(value, bool) == (hint is bool):
        return value
    raise SpeechbenchError(f"{where}: '{key}' is {value!r}; expected {getattr(hint, '__name__', hint)}")
