"""Errors that a user can cause. The command line prints their one line and exits with 1."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class SpeechbenchError(Exception):
    """Names the file, line or utterance, says what was expected and the way out, in one line."""


class AudioError(SpeechbenchError):
    """One recording cannot be used; long runs list it by name, skip it and go on."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> SpeechbenchError:
    """An error for a name that is not known, which answers with the nearest known ones.

    Args:
        kind: What is named, for example "config key".
        name: The name as the user wrote it.
        known: All names that would have been right.
    """
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(names)}"
    return SpeechbenchError(f"unknown {kind} '{name}'; {hint}")


def name_some(names: Iterable[str], most: int = 5) -> str:
    """The first names and how many more there are: "a, b and 3 more"."""
    listed = list(names)
    shown = ", ".join(listed[:most])
    return shown if len(listed) <= most else f"{shown} and {len(listed) - most} more"
