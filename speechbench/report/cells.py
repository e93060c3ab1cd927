"""Figures as text, for the terminal and the page alike."""

from __future__ import annotations

from typing import Any

Row = dict[str, Any]
SETS = {"human": "human", "train": "train", "train_dev": "train-dev", "dev": "dev", "test": "test"}


def words_of(name: str) -> str:
    """A name of the document as words: "data mismatch"."""
    return name.replace("_", " ")


def percent(value: float | None) -> str:
    """A fraction as "12.34 %"; "" where it is unknown."""
    return "" if value is None else f"{100 * value:.2f} %"


def share(value: float | None, digits: int = 0) -> str:
    """A share of a whole as "12 %"; "" where it is unknown."""
    return "" if value is None else f"{round(100 * value, digits) + 0.0:.{digits}f} %"  # no "-0 %"


def points(value: float | None) -> str:
    """A difference of fractions as "+1.23" points; "" where it is unknown."""
    return "" if value is None else f"{100 * value:+.2f}"


def span(low: float | None, high: float | None, signed: bool = False, digits: int = 2) -> str:
    """An interval as "1.20 to 3.40"."""
    if low is None or high is None:
        return ""
    sign = "+" if signed else ""
    return f"{100 * low:{sign}.{digits}f} to {100 * high:{sign}.{digits}f}"


def within(text: str, low: float | None, high: float | None, signed: bool = False, digits: int = 2) -> str:
    """A figure with its interval: "3.00 % (1.20 to 3.40)"."""
    interval = span(low, high, signed, digits)
    return f"{text} ({interval})" if interval and text else text


def certainty(separable: bool | None) -> str:
    """Whether a gap is real: "yes", "no" or "unknown"."""
    return "unknown" if separable is None else "yes" if separable else "no"


def counted(number: int, noun: str) -> str:
    """A number of things: "1 utterance", "1,200 utterances"."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def gain(advice: Row) -> str:
    """What an advice could gain: "at most 3.4 points (1.2 to 5.6)"; "" where it gains knowledge only."""
    if advice["ceiling"] is None:
        return ""
    known = advice["low"] is not None and advice["high"] is not None
    ends = f" ({100 * max(0.0, advice['low']):.1f} to {100 * advice['high']:.1f})" if known else ""
    return f"at most {100 * advice['ceiling']:.1f} points{ends}"
