"""Corrections of transcripts: a file beside the manifest, one JSON line each, never an edit in place."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from speechbench.diagnostics.bootstrap import Estimate
from speechbench.diagnostics.scored import ScoredSet, measure_change
from speechbench.errors import SpeechbenchError, name_some
from speechbench.files import lines_of, write_json_lines
from speechbench.manifest import Manifest


@dataclass(frozen=True)
class Correction:
    """What a transcript said, and what it should say."""

    id: str
    old: str
    new: str
    reason: str


Patch = tuple[Correction, ...]


def write_patch(path: Path, patch: Iterable[Correction]) -> None:
    """Write a patch."""
    write_json_lines(path, map(asdict, patch))


def read_patch(path: Path) -> Patch:
    """Read a patch.

    Raises:
        SpeechbenchError: Missing file, a bad line with its number, an utterance that is corrected twice, no line at all.
    """
    patch: list[Correction] = []
    for number, line in enumerate(lines_of(path), start=1):
        if line.strip():
            correction = _parse(line, f"{path}: line {number}")
            if any(correction.id == other.id for other in patch):
                raise SpeechbenchError(
                    f"{path}: line {number}: corrects '{correction.id}' a second time; keep one of the lines"
                )
            patch.append(correction)
    if not patch:
        raise SpeechbenchError(f"{path}: holds no correction")
    return tuple(patch)


def _parse(line: str, where: str) -> Correction:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise SpeechbenchError(f"{where}: not JSON ({error.msg})") from error
    keys = tuple(Correction.__dataclass_fields__)
    if not isinstance(row, dict) or not all(isinstance(row.get(key), str) for key in keys):
        raise SpeechbenchError(f"{where}: expected an object with {', '.join(keys)}, all strings")
    if not row["new"].split():
        raise SpeechbenchError(f"{where}: 'new' is empty; leave an utterance without speech out of the manifest instead")
    return Correction(*(row[key] for key in keys))


def apply_patch(manifest: Manifest, patch: Patch) -> Manifest:
    """The manifest with corrected texts, and for each the old one under "text_before".

    Raises:
        SpeechbenchError: A correction of an utterance that is not there, or whose text is another than was corrected.
    """
    by_id, corrections = manifest.by_id, {one.id: one for one in patch}
    if unknown := [key for key in corrections if key not in by_id]:
        raise SpeechbenchError(
            f"{manifest.name}: lacks {len(unknown)} utterances of the patch: {name_some(unknown)}; one patch per set"
        )
    if changed := [key for key, one in corrections.items() if by_id[key].text != one.old]:
        raise SpeechbenchError(
            f"{manifest.name}: the texts of {name_some(changed)} are not those that were corrected; "
            "apply the patch to the manifest that it was made for, once"
        )
    utterances = tuple(
        replace(u, text=corrections[u.id].new, extra={**u.extra, "text_before": u.text}) if u.id in corrections else u
        for u in manifest
    )
    return replace(manifest, utterances=utterances)


def correct(scored: ScoredSet, patch: Patch) -> ScoredSet:
    """The same hypotheses against the corrected texts."""
    return replace(scored, manifest=apply_patch(scored.manifest, patch))


def rank_again(first: ScoredSet, second: ScoredSet, patch: Patch, unchecked: float, seed: int = 0) -> dict[str, Any]:
    """Which of two systems is better once the transcripts are corrected.

    Args:
        first: One system's set.
        second: The other's, of the same utterances.
        patch: The corrections.
        unchecked: The error rate that wrong transcripts which nobody has checked may still cause.
        seed: Of the resampling.

    Returns:
        `before` and `after`, each with `first`, `second` (error rates), `difference`, `low`, `high`; `better`: "first",
        "second", or None where they cannot be ranked; `sentence`.
    """
    pair, corrected = (first, second), (correct(first, patch), correct(second, patch))
    rows = {name: _compare(*sets, seed) for name, sets in (("before", pair), ("after", corrected))}
    after = rows["after"]
    better, why = rank(after["difference"], after["low"], after["high"], unchecked)
    said = f"Under {len(patch)} corrections: {100 * after['first']:.2f} against {100 * after['second']:.2f} %"
    return {**rows, "better": better, "sentence": f"{said}: {why}."}


def _compare(first: ScoredSet, second: ScoredSet, seed: int) -> dict[str, Any]:
    change: Estimate = measure_change("dev", first, second, seed)
    low, high = (None if change.doubt else change.interval()) or (None, None)
    return {"first": _rate(first), "second": _rate(second), "difference": change.value, "low": low, "high": high}


def _rate(scored: ScoredSet) -> float:
    return scored.score.total.rate


def rank(difference: float, low: float | None, high: float | None, labels: float) -> tuple[str | None, str]:
    """Which of two systems is better, and why.

    A wrong transcript can count for either, so that two systems closer than what wrong transcripts cause are not told apart.

    Args:
        difference: The first's error rate less the second's.
        low: The end of its interval; None where the interval is unknown.
        high: The other end.
        labels: The error rate that wrong transcripts cause.

    Source: Ng, "Machine Learning Yearning", chapter 16: 2.1 against 1.9 % with 0.6 from labels cannot be ranked.
    """
    if abs(difference) <= labels:
        return (
            None,
            f"they cannot be ranked, for they differ by {_p(abs(difference))} points, and wrong transcripts cause {_p(labels)}",
        )
    if low is None or high is None:
        return None, "they cannot be ranked, for too few speakers show how sure the difference is"
    if low <= 0 <= high:
        return None, f"they cannot be ranked, for the difference may be {_p(low)} to {_p(high)} points by chance"
    return ("first", "the first is better") if difference < 0 else ("second", "the second is better")


def _p(value: float) -> str:
    return f"{100 * value:.2f}"


def cost(scored: ScoredSet, patch: Patch) -> dict[str, int]:
    """By corrected utterance, how many errors the old text caused (below 0: it hid some)."""
    kept = {one.id for one in patch}
    part = replace(
        scored,
        manifest=scored.manifest.select(lambda u: u.id in kept),
        hypotheses={key: scored.hypotheses[key] for key in kept if key in scored.hypotheses},
    )
    before, after = part.score.counts, correct(part, patch).score.counts
    return {key: before[key].errors - after[key].errors for key in before}
