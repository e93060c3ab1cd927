"""The sheet on which a person checks transcripts: the most suspect ones, and a sample of the rest, right answers among it.

Who checks errors alone finds the transcripts that hurt, and never those that a recogniser got wrong the same way.

Source: Ng, "Machine Learning Yearning", chapter 16.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from speechbench.diagnostics.labels import Suspicion
from speechbench.diagnostics.patch import Correction, Patch
from speechbench.diagnostics.scored import ScoredSet
from speechbench.diagnostics.sheet import show_alignment
from speechbench.diagnostics.sheet_cells import Row, read_table, read_whole, write_table
from speechbench.errors import SpeechbenchError, unknown_name
from speechbench.seeds import generator_of

COLUMNS = (
    "id",
    "checked",
    "corrected",
    "comment",
    "why",
    "alignment",
    "reference",
    "hypothesis",
    "rival",
    "audio",
    "rank",
    "part",
    "part_size",
)
SUSPECT, ERROR, RIGHT = "suspect", "other error", "right answer"
PARTS = (SUSPECT, ERROR, RIGHT)


@dataclass(frozen=True)
class Checked:
    """One transcript that a person has checked; `corrected` is None where it was right."""

    id: str
    part: str  # of `PARTS`
    corrected: str | None
    comment: str


@dataclass(frozen=True)
class Checks:
    """A sheet that came back: what was checked, and how many transcripts each part of the set has."""

    checked: tuple[Checked, ...]
    sizes: Mapping[str, int]

    def patch(self, scored: ScoredSet) -> Patch:
        """The corrections.

        Raises:
            SpeechbenchError: A row of another set.
        """
        texts = {utterance.id: utterance.text or "" for utterance in scored.manifest}
        if odd := [one.id for one in self.checked if one.id not in texts]:
            raise SpeechbenchError(
                f"{scored.manifest.name}: lacks '{odd[0]}' of the sheet; name the manifest that it was made of"
            )
        return tuple(
            Correction(one.id, texts[one.id], one.corrected, one.comment or f"checked by a person ({one.part})")
            for one in self.checked
            if one.corrected is not None and one.corrected != texts[one.id]
        )


def write_checks(
    path: Path, scored: ScoredSet, rival: ScoredSet | None, found: Sequence[Suspicion], most: int, others: int, seed: int
) -> None:
    """Write the sheet: the `most` most suspect transcripts, then `others` drawn at random, half of them right answers."""
    ranks = {one.id: rank for rank, one in enumerate(found, start=1)}
    counts = scored.score.counts
    parts = {SUSPECT: [one.id for one in found[:most]]}
    parts[ERROR] = [one.id for one in found[most:] if counts[one.id].errors]
    parts[RIGHT] = [one.id for one in found[most:] if not counts[one.id].errors]
    drawn = {SUSPECT: parts[SUSPECT]}
    drawn[RIGHT] = _draw(parts[RIGHT], max(others // 2, others - len(parts[ERROR])), seed)
    drawn[ERROR] = _draw(parts[ERROR], others - len(drawn[RIGHT]), seed)
    by_id = {one.id: one for one in found}
    rows: list[Row] = []
    for part in PARTS:
        for key in drawn[part]:
            facts: dict[str, str | int] = {"rank": ranks[key], "part": part, "part_size": len(parts[part])}
            rows.append(_row(by_id[key], scored, rival) | facts)
    write_table(path, COLUMNS, rows)


def _draw(ids: Sequence[str], most: int, seed: int) -> list[str]:
    order = generator_of(seed, "labels").permutation(len(ids))
    return [ids[number] for number in order[:most]]


def _row(one: Suspicion, scored: ScoredSet, rival: ScoredSet | None) -> dict[str, str | int]:
    utterance = scored.manifest.by_id[one.id]
    place = f" from {utterance.offset:.2f} s" if utterance.offset else ""
    return {
        "id": one.id,
        "checked": "",
        "corrected": "",
        "comment": "",
        "why": "; ".join(one.reasons),
        "alignment": show_alignment(scored.score.alignments[one.id]),
        "reference": utterance.text or "",
        "hypothesis": _text(scored, one.id),
        "rival": _text(rival, one.id) if rival else "",
        "audio": f"{utterance.audio_filepath}{place}",
    }


def _text(scored: ScoredSet, key: str) -> str:
    return scored.hypotheses[key].text if key in scored.hypotheses else ""


def read_checks(path: Path) -> Checks:
    """Read a sheet that a person has filled: `checked` holds a mark, or `corrected` the right text.

    Raises:
        SpeechbenchError: As `read_table`; a part that is none; nothing was checked.
    """
    _, rows = read_table(path, [name for name in COLUMNS if name in ("id", "checked", "corrected", "part", "part_size")])
    sizes: dict[str, int] = {}
    checked = []
    for row in rows:
        if row["part"] not in PARTS:
            raise unknown_name(f"part in {path}", row["part"], PARTS)
        sizes[row["part"]] = read_whole(path, row, "part_size")
        if row["checked"] or row["corrected"]:
            corrected = " ".join(row["corrected"].split()) or None
            checked.append(Checked(row["id"], row["part"], corrected, row.get("comment", "")))
    if not checked:
        raise SpeechbenchError(
            f"{path}: no row is checked; put an x into 'checked' where a text is right, else the right text into 'corrected'"
        )
    return Checks(tuple(checked), sizes)
