"""Which transcripts are suspect: those that the recognisers contradict, and those that do not last as long as they should.

Nothing here is learnt, and each signal can be read. Every signal ranks the set, and the suspicion is the mean of the ranks, so
that no unit outweighs another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import stats

from speechbench.diagnostics.bootstrap import Array
from speechbench.diagnostics.pace import measure_pace, outlying
from speechbench.diagnostics.scored import ScoredSet
from speechbench.errors import SpeechbenchError
from speechbench.recognizer import Hypothesis

ODD_PACE = 3.0  # standard deviations from the median that make a pace a reason to doubt


@dataclass(frozen=True)
class Suspicion:
    """Why one transcript is suspect, and how much. A signal that is not known is None."""

    id: str
    suspicion: float  # 0 to 1, the mean rank of the signals
    preference: float | None  # log-likelihood (natural) per word by which the recogniser prefers what it heard
    distance: float  # errors of what it heard, per reference word
    agreed: float | None  # errors of the nearer of two recognisers, per reference word
    pace: float  # standard deviations of phonemes per second from the median

    @property
    def reasons(self) -> list[str]:
        """The signals that speak against the transcript, in words."""
        said = []
        if self.preference is not None and self.preference > 0:
            said.append(f"its recogniser prefers what it heard by {self.preference:.2f} nats a word")
        elif self.preference is None and self.distance > 0:
            said.append(f"what was heard differs in {100 * self.distance:.0f} % of its words")
        if self.agreed:
            said.append(f"both recognisers contradict at least {100 * self.agreed:.0f} % of its words")
        if self.pace > ODD_PACE:
            said.append(f"its pace is {self.pace:.1f} standard deviations off")
        return said


def suspect_labels(
    scored: ScoredSet, references: Mapping[str, Hypothesis] | None = None, rival: ScoredSet | None = None
) -> list[Suspicion]:
    """Rank the transcripts of a set, the most suspect first.

    Args:
        scored: The set and what a recogniser heard in it that was not trained on it.
        references: The references as that recogniser scores them (`decode --oracle words`); without them the number of words
            that differ stands for the likelihood.
        rival: The same set with what another recogniser heard.

    Raises:
        SpeechbenchError: The rival heard other utterances, or the references are no such scores.
    """
    if rival is not None and [u.id for u in rival.manifest] != [u.id for u in scored.manifest]:
        raise SpeechbenchError(
            f"{rival.manifest.name}: holds other utterances than {scored.manifest.name}; give one set to both"
        )
    distance = scored.errors / scored.words
    preference = np.full(len(distance), np.nan) if references is None else _preference(scored, references)
    agreed = None if rival is None else np.minimum(distance, rival.errors / rival.words)
    pace = outlying(measure_pace(scored))
    ranks = [np.where(np.isnan(preference), _rank(distance), _rank(preference)), _rank(np.where(pace > ODD_PACE, pace, 0.0))]
    if agreed is not None:
        ranks.append(_rank(agreed))
    found = [
        Suspicion(u.id, *row)
        for u, *row in zip(
            scored.manifest,
            np.mean(ranks, axis=0).tolist(),
            [None if np.isnan(one) else float(one) for one in preference],
            distance.tolist(),
            [None] * len(distance) if agreed is None else agreed.tolist(),
            pace.tolist(),
            strict=True,
        )
    ]
    return sorted(found, key=lambda one: -one.suspicion)


def list_suspects(scored: ScoredSet, rival: ScoredSet | None, most: int = 20) -> list[dict[str, Any]]:
    """The most suspect transcripts against which something speaks, from what was heard alone.

    Returns:
        Rows of `id`, `suspicion`, `reasons`, `reference`, `hypothesis` and `rival` (None without a second recogniser).
    """
    texts = [{key: one.text for key, one in heard.hypotheses.items()} if heard else {} for heard in (scored, rival)]
    by_id = scored.manifest.by_id
    return [
        {
            "id": one.id,
            "suspicion": one.suspicion,
            "reasons": one.reasons,
            "reference": by_id[one.id].text,
            "hypothesis": texts[0].get(one.id),
            "rival": texts[1].get(one.id),
        }
        for one in suspect_labels(scored, rival=rival)
        if one.reasons
    ][:most]


def _preference(scored: ScoredSet, references: Mapping[str, Hypothesis]) -> Array:
    """Score of the best path less that of the reference in the same graph, per word; NaN where either is unknown.

    The logarithm of how much likelier the recogniser takes what it heard to be than the reference. Where it is below 0 the
    search failed, and the recogniser has nothing against the reference.

    Shape:
        (B,)
    """
    values = np.full(len(scored.manifest), np.nan)
    for number, utterance in enumerate(scored.manifest):
        heard, reference = scored.hypotheses.get(utterance.id), references.get(utterance.id)
        if reference is None or heard is None:
            continue
        if reference.text.split() != utterance.words:
            raise SpeechbenchError(
                f"{utterance.id}: its reference was scored as '{reference.text}', not as its text; score it again"
            )
        if heard.score is not None and reference.score is not None:
            words = max(1, len(utterance.words), len(heard.text.split()))
            values[number] = max(0.0, heard.score - reference.score) / words
    if np.isnan(values).all():
        raise SpeechbenchError(
            f"{scored.manifest.name}: no utterance has both scores; decode it with and without --oracle words"
        )
    return values


def _rank(values: Array) -> Array:
    """Ranks from 0 to 1, equal values in the middle of their places; NaN stays NaN.

    Shape:
        values and the result: (B,)
    """
    ranks: Array = stats.rankdata(values, nan_policy="omit") - 0.5
    return ranks / max(1, int(np.sum(~np.isnan(values))))
