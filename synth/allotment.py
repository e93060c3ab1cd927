"""The fair use of noise: no second is heard twice before every second was heard once."""

from __future__ import annotations

import heapq
import math
import random
from collections import deque
from collections.abc import Iterable, Mapping

from speechbench.errors import SpeechbenchError, name_some, unknown_name
from speechbench.seeds import seed_of
from synth.noise import FADE, Noise, NoiseBank, Piece, side_of

SHORTEST_PIECE = 0.5  # s; what is left of a recording below this rests until the next pass
LOOK_AHEAD = 4  # recordings that are tried for one that is long enough before pieces are joined


class Allotment:
    """Hands out the bank's noise piece by piece.

    A *cell* is one source under one condition. Each pass over the cells draws sources evenly until each has used up
    its recordings; only then does the next pass start. The order of requests matters, so that they come from one place.
    """

    def __init__(self, bank: NoiseBank, conditions: Mapping[str, float], seed: int, events: Iterable[str] = ()) -> None:
        """Start with all noise unused.

        Args:
            bank: The noise.
            conditions: Weight of each condition that backgrounds may be drawn from; none draws all alike.
            seed: Of the order and the offsets.
            events: The events that may be asked for.

        Raises:
            SpeechbenchError: A condition or an event that no recording has.
        """
        _check("condition", conditions, (noise for noise in bank.recordings if not noise.event))
        _check("event", events, (noise for noise in bank.recordings if noise.event))
        self.bank, self.conditions, self.seed = bank, conditions, seed
        self.weight = math.fsum(conditions.values())
        self.pools: dict[tuple[str | None, str | None, bool], _Pool] = {}

    def take(self, seconds: float, split: str | None, chance: float) -> tuple[Piece, ...]:
        """The background of one utterance: one piece where a recording is long enough, else several of one cell.

        Args:
            seconds: How much; pieces overlap by `FADE`, which is added.
            split: Of the speech: only noise of its side or of no split is used.
            chance: In [0, 1), chooses the condition.
        """
        return self._pool(split, self._condition(chance), event=False).take(seconds)

    def event(self, name: str, seconds: float, split: str | None) -> Piece:
        """An event: a recording whole, or as much of it as was not heard and fits into the seconds."""
        return self._pool(split, name, event=True).take(seconds)[0]

    def _condition(self, chance: float) -> str | None:
        below = chance * self.weight
        for name, weight in self.conditions.items():
            below -= weight
            if below < 0:
                return name
        return None

    def _pool(self, split: str | None, condition: str | None, event: bool) -> _Pool:
        key = (split, condition, event)
        if key not in self.pools:
            self.pools[key] = self._open(*key)
        return self.pools[key]

    def _open(self, split: str | None, condition: str | None, event: bool) -> _Pool:
        def suits(noise: Noise) -> bool:
            known = split is not None and noise.split is not None
            kept_apart = known and side_of(noise.split) != side_of(split)
            return noise.event is event and not kept_apart and condition in (None, noise.condition)

        recordings = list(filter(suits, self.bank.recordings))
        kind = "noise event" if event else "noise"
        if not recordings:
            splits = name_some(sorted({str(noise.split) for noise in self.bank.recordings if noise.event is event})) or "none"
            wanted = f" under condition '{condition}'" if condition else ""
            raise SpeechbenchError(f"no {kind} for speech of split '{split}'{wanted}; the noise has splits {splits}; add some")
        rng = random.Random(seed_of(self.seed, kind, split or "", condition or ""))
        return _Pool(recordings, rng, whole=event)


def _check(kind: str, wanted: Iterable[str], recordings: Iterable[Noise]) -> None:
    known = {noise.condition for noise in recordings if noise.condition}
    for name in wanted:
        if name not in known:
            fault = unknown_name(f"noise {kind}", name, known or {"none"})
            raise SpeechbenchError(f"recipe: {fault}; add such noise, or leave all out with --set {kind}s={{}}")


class _Pool:
    """The cells that one kind of speech draws from."""

    def __init__(self, recordings: Iterable[Noise], rng: random.Random, whole: bool) -> None:
        cells: dict[tuple[str, str], list[Noise]] = {}
        for noise in sorted(recordings, key=lambda noise: noise.id):
            cells.setdefault((noise.source, noise.condition or ""), []).append(noise)
        self.cells = [_Cell(number, cells[key], rng, whole) for number, key in enumerate(sorted(cells))]
        self.rng = rng
        self.fresh: dict[str, list[_Cell]] = {}  # per source, the cells that this pass has not used up
        self.sources: list[str] = []  # of `fresh`
        self.by_left: list[tuple[float, int]] | None = None  # a heap of -seconds left and cell; None until it is needed

    def take(self, seconds: float) -> tuple[Piece, ...]:
        if not self.fresh:
            for cell in self.cells:
                self.fresh.setdefault(cell.source, []).append(cell)
            self.sources, self.by_left = list(self.fresh), None
        cells = self.fresh[self.sources[int(self.rng.random() * len(self.sources))]]
        cell = cells[int(self.rng.random() * len(cells))]
        if not cell.covers(seconds):
            # It would have to start its next pass before the others have ended theirs.
            fullest = self._fullest()
            cell = fullest if fullest.covers(seconds) else cell
        pieces, used_up = cell.take(seconds)
        if used_up:
            self.fresh[cell.source].remove(cell)
            if not self.fresh[cell.source]:
                del self.fresh[cell.source]
                self.sources.remove(cell.source)
        elif self.by_left is not None:
            heapq.heappush(self.by_left, (-cell.left, cell.number))
        return pieces

    def _fullest(self) -> _Cell:
        """The fresh cell that has most left."""
        if self.by_left is None:
            self.by_left = [(-cell.left, number) for number, cell in enumerate(self.cells) if self._is_fresh(cell)]
            heapq.heapify(self.by_left)
        while True:
            left, number = self.by_left[0]
            cell = self.cells[number]
            if -left == cell.left and self._is_fresh(cell):
                return cell
            heapq.heappop(self.by_left)  # what it tells is past

    def _is_fresh(self, cell: _Cell) -> bool:
        return cell in self.fresh.get(cell.source, ())


class _Cell:
    """The recordings of one source under one condition, cut from the front until none is left."""

    def __init__(self, number: int, recordings: list[Noise], rng: random.Random, whole: bool) -> None:
        self.number, self.recordings, self.rng = number, recordings, rng  # number: in its pool
        self.source = recordings[0].source
        self.whole = whole  # recordings start at their start and are never joined: a horn has a beginning and an end
        self.free: deque[tuple[Noise, float, float]] = deque()  # recording, offset in its file, seconds
        self.left = 0.0  # s in `free`
        self._refill()

    def _refill(self) -> None:
        """Start a pass: recordings in random order, each read from a random place round to it again."""
        heads, tails = [], []
        for noise in self.rng.sample(self.recordings, len(self.recordings)):
            turn = 0.0 if self.whole else round(self.rng.random() * noise.duration, 4)
            if min(turn, noise.duration - turn) < SHORTEST_PIECE:
                heads.append((noise, noise.offset, noise.duration))
            else:
                heads.append((noise, noise.offset + turn, noise.duration - turn))
                tails.append((noise, noise.offset, turn))
        self.free.extend(heads + tails)
        self.left = math.fsum(seconds for _, _, seconds in self.free)

    def covers(self, seconds: float) -> bool:
        """Whether this pass has so much left, overlaps of its pieces taken off; whole recordings need not cover anything."""
        return self.whole or self.left - FADE * (len(self.free) - 1) >= seconds

    def take(self, seconds: float) -> tuple[tuple[Piece, ...], bool]:
        """Pieces that cover the seconds, or one of whole recordings; and whether this used up the pass."""
        for _ in range(min(LOOK_AHEAD, len(self.free))):
            if self.free[0][2] >= seconds or self.whole:
                break
            self.free.rotate(-1)
        pieces: list[Piece] = []
        used_up = False
        while True:
            noise, offset, left = self.free.popleft()
            length = min(left, seconds)
            pieces.append(
                Piece(noise.id, noise.audio_filepath, noise.source, noise.condition, round(offset, 6), round(length, 6))
            )
            kept = left - length if left - length >= SHORTEST_PIECE else 0.0
            if kept:
                self.free.append((noise, offset + length, kept))
            self.left += kept - left
            if not self.free:
                used_up = True
                self._refill()
            if length >= seconds or self.whole:
                return tuple(pieces), used_up
            seconds -= length - FADE  # the next piece overlaps this one
