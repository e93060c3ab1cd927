"""Progress of long work on stderr, with rate and time left; one line now and then where there is no screen."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

SECONDS_BETWEEN_LINES = 15.0


def say(message: str) -> None:
    """One line of progress on stderr; of the processes that torchrun starts, only the first speaks."""
    if os.environ.get("RANK", "0") == "0":
        print(message, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Unit:
    """What progress is counted in."""

    amount: Callable[[float], str]  # of what is done, or of all
    rate: Callable[[float], str]  # per second


ITEMS = _Unit(lambda count: f"{count:.0f}", lambda rate: f"{rate:.1f}/s")
AUDIO = _Unit(lambda seconds: time_left(seconds), lambda rate: f"{rate:,.0f} x real time")


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Pass the items through while progress is shown.

    Args:
        items: What the caller works on.
        label: What is being done, for example "decode dev".
        total: How many there will be, where `items` has no length.
    """
    count = len(items) if total is None and isinstance(items, Sized) else total
    return _track(items, label, count, lambda _: 1.0, ITEMS)


def track_audio(items: Iterable[T], label: str, total: float, seconds: Callable[[T], float]) -> Iterator[T]:
    """As `track`, counted in audio: what is done and left of it, and how many times faster than real time that goes.

    Args:
        items: What the caller works on.
        label: What is being done.
        total: Seconds of audio there will be.
        seconds: Of audio in one item.
    """
    return _track(items, label, total, seconds, AUDIO)


def _track(items: Iterable[T], label: str, total: float | None, size: Callable[[T], float], unit: _Unit) -> Iterator[T]:
    return (_bar if sys.stderr.isatty() and importlib.util.find_spec("rich") else _lines)(items, label, total, size, unit)


def _bar(items: Iterable[T], label: str, total: float | None, size: Callable[[T], float], unit: _Unit) -> Iterator[T]:
    from rich.console import Console  # workers, which draw no bar, start sooner without
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[said]}"), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=total, said="")
        start, done = time.monotonic(), 0.0
        for item in items:
            yield item
            done += size(item)
            left = f"/{unit.amount(total)}" if total else ""
            rate = unit.rate(done / max(time.monotonic() - start, 1e-9))
            progress.update(task, completed=done, said=f"{unit.amount(done)}{left} {rate}")


def _lines(items: Iterable[T], label: str, total: float | None, size: Callable[[T], float], unit: _Unit) -> Iterator[T]:
    start = last = time.monotonic()
    done = 0.0
    for item in items:
        yield item
        done += size(item)
        now = time.monotonic()
        if now - last >= SECONDS_BETWEEN_LINES and done:
            last = now
            rate = done / (now - start)
            left = f" of {unit.amount(total)}, {time_left((total - done) / rate)} left" if total else ""
            say(f"{label}: {unit.amount(done)}{left}, {unit.rate(rate)}")


def time_left(seconds: float) -> str:
    """Seconds as "1:02:03" or "2:03"."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02d}:{rest % 60:02d}" if hours else f"{rest // 60}:{rest % 60:02d}"
