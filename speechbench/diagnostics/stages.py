"""Which part of a recogniser is to blame for each error, by repairing one part after the other with the reference's help.

An error is blamed on the first part whose repair mends it (Ng, "Machine Learning Yearning", 2018, chapters 53 to 57). The
search comes first: where the reference has a better score than what was heard, the search failed and all the utterance's
errors are its fault (his optimisation verification test, chapters 44 to 46). Right phonemes would mend them too, so that a
later place would hide them behind the acoustic model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from speechbench.diagnostics.bootstrap import Array, Blocks, resample
from speechbench.diagnostics.confusions import confusions
from speechbench.diagnostics.places import errors_in
from speechbench.diagnostics.repairs import UNDECIDED, Repairs, blame, search_failed
from speechbench.diagnostics.scored import ScoredSet, change
from speechbench.recognizer import Hypothesis
from speechbench.score import align, score
from speechbench.seeds import generator_of


@dataclass(frozen=True)
class Stage:
    """A part of the recogniser, and what to do where much is its fault."""

    means: str
    action: str
    command: str


TRAIN = "speechbench train --mode MODE --train TRAIN.jsonl --dev DEV.jsonl --out RUN2"
LABELS = "labels"
STAGES = {
    "search": Stage(
        "the search missed the reference though it has the better score",
        "Search wider; what it would find at most is told by the oracle of the search, which takes long",
        "speechbench decode RUN --data DEV.jsonl --oracle search --out WIDER.jsonl",
    ),
    LABELS: Stage(
        "the transcript is contradicted: something else was heard, which fits the audio as well as what is right elsewhere",
        "Check the transcripts that are contradicted, in dev and test alike",
        "speechbench labels find RUN --data DEV.jsonl --out SUSPECTS.csv",
    ),
    "front_end": Stage(
        "noise and room: right when the clean recording is heard",
        "Make the acoustic model hear through dev's noise and rooms; the ladder says which of them",
        "speechbench diagnose RUN --dev DEV.jsonl --ladder --out REPORT",
    ),
    "acoustic_model": Stage(
        "right when the phonemes are right",
        "Improve the acoustic model; whether by more data or a larger model is said by the gaps",
        f"{TRAIN} --config LARGER.toml",
    ),
    "lexicon": Stage(
        "words that the lexicon lacks",
        "Add the missing words: {words}",
        f"{TRAIN} --set language_model.text=SENTENCES.txt",
    ),
    "language_model": Stage(
        "wrong though the phonemes are right and the words known",
        "Estimate the language model from more text, and text more like dev's",
        f"{TRAIN} --set language_model.text=SENTENCES.txt",
    ),
}


def draw_errors(scored: ScoredSet, most: int, seed: int) -> ScoredSet:
    """Utterances in random order until so many with errors are drawn, so that the draw has the set's error rate."""
    order = generator_of(seed, "stages").permutation(len(scored.manifest))
    wrong = np.cumsum(scored.errors[order] > 0)
    drawn = set(order[: int(np.searchsorted(wrong, most)) + 1].tolist()) if wrong[-1] > most else set(order.tolist())
    chosen = {u.id for number, u in enumerate(scored.manifest) if number in drawn}
    return scored.select(lambda u: u.id in chosen)


def measure_stages(repairs: Repairs, seed: int, climbed: bool = False) -> dict[str, Any]:
    """Blame the errors on the stages.

    Args:
        repairs: What is heard once a part is repaired.
        seed: Of the resampling.
        climbed: There is a ladder, which then advises on the front end.

    Returns:
        `utterances` that were drawn, `of` how many, `erroneous` among them, `errors`, `words`, `rate`; `stages`, rows in the
        order of `STAGES` and "undecided" of `name`, `means`, `errors`, `share`, `ceiling` with `low` and `high` (what the WER
        falls by when this part becomes perfect after those before it), `cumulative` with `cumulative_low` and
        `cumulative_high` (the WER left then; it never rises, for an error is blamed once), `alone` (the WER measured with this
        part alone perfect, utterances that were right taken to stay right; None where no repair measures that) and `asked`
        (utterances with errors in which that could be found out); `verification`: of the utterances with errors, in how
        many `search`, `model`, or neither can be blamed because the reference `cannot_be_said`, or the `score_is_unknown`;
        `unknown_words`, rows of `word` and `occurrences`; `phonemes`, confusions as in the report, of the utterances with
        errors, the reference's phonemes being those of its alignment; `sentence`, `notes`, `advice`.
    """
    sample = repairs.sample
    blamed = blame(repairs)
    rows = list(_stage_rows(repairs, blamed, seed))
    total = sample.score.total
    unknown = Counter(word for u in sample.manifest for word in u.words if word not in repairs.lexicon)
    document: dict[str, Any] = {
        "utterances": len(sample.manifest),
        "of": repairs.of,
        "erroneous": int((sample.errors > 0).sum()),
        "errors": total.errors,
        "words": total.words,
        "rate": total.rate,
        "stages": rows,
        "verification": _verify(repairs),
        "unknown_words": [{"word": word, "occurrences": count} for word, count in unknown.most_common(20)],
        "phonemes": _phoneme_confusions(repairs),
        "sentence": _sentence(rows),
        "notes": list(_notes(repairs, rows)),
    }
    advised = [row for row in rows if not (climbed and row["name"] == "front_end")]
    return document | {"advice": _advise(advised, list(unknown))}


def _stage_rows(repairs: Repairs, blamed: Mapping[str, Counter[str]], seed: int) -> Iterator[dict[str, Any]]:
    sample = repairs.sample
    left = sample.errors.copy()
    utterances = [blamed.get(u.id, Counter()) for u in sample.manifest]
    alone = {
        "front_end": repairs.clean,
        "acoustic_model": repairs.phonemes,
        "language_model": repairs.language_model,
    }
    verified = _verify(repairs)
    asked = {"search": verified["search"] + verified["model"], "lexicon": len(blamed)}
    for name in (*STAGES, UNDECIDED):
        own = np.array([counts[name] for counts in utterances], dtype=np.float64)
        left = left - own
        rate = _rate_of_transcripts if name == LABELS else _rate
        ceiling, cumulative = rate(f"{name} ", sample, own, seed), _rate(f"{name} left", sample, left, seed)
        tried = {key: h for key, h in alone.get(name, {}).items() if name == "front_end" or h.oracle is not None}
        if name == UNDECIDED and not own.any():
            return
        yield {
            "name": name,
            "means": STAGES[name].means if name in STAGES else "no repair could be tried",
            "errors": int(own.sum()),
            "share": float(own.sum() / max(1.0, sample.errors.sum())),
            "ceiling": ceiling[0],
            "low": ceiling[1],
            "high": ceiling[2],
            "cumulative": cumulative[0],
            "cumulative_low": cumulative[1],
            "cumulative_high": cumulative[2],
            "alone": _alone(sample, tried) if tried else None,
            "asked": asked.get(name, len(tried)),
        }


def _rate(name: str, sample: ScoredSet, errors: Array, seed: int) -> tuple[float, float | None, float | None]:
    """Errors per word of the sample, with the ends of an interval."""
    estimate = change(name, sample.manifest.utterances, errors, sample.words, seed)
    low, high = estimate.interval() or (None, None)
    return estimate.value, None if low is None else max(0.0, low), high


def _rate_of_transcripts(name: str, sample: ScoredSet, errors: Array, seed: int) -> tuple[float, float | None, float | None]:
    """The same, but for drawing utterances: transcripts are wrong one by one, whoever speaks."""
    blocks = Blocks.of("utterance", [u.id for u in sample.manifest], errors, sample.words)
    estimate = resample(blocks, generator_of(seed, "transcripts", name))
    low, high = estimate.interval() or (None, None)
    return estimate.value, None if low is None else max(0.0, low), high


def _alone(sample: ScoredSet, repaired: Mapping[str, Hypothesis]) -> float:
    errors = sum(
        len(errors_in(align(u.words, repaired[u.id].text.split()))) if u.id in repaired else count
        for u, count in zip(sample.manifest, sample.errors.tolist(), strict=True)
    )
    return float(errors / sample.words.sum())


def _verify(repairs: Repairs) -> dict[str, int]:
    counts = Counter({"search": 0, "model": 0, "cannot_be_said": 0, "score_is_unknown": 0})
    for name in repairs.wrong:
        heard, aligned = repairs.sample.hypotheses.get(name), repairs.aligned.get(name)
        failed = search_failed(heard, aligned) if heard and aligned else None
        if failed is not None:
            counts["search" if failed else "model"] += 1
        else:
            known = heard is not None and heard.score is not None and aligned is not None
            counts["cannot_be_said" if known else "score_is_unknown"] += 1
    return dict(counts)


def _phoneme_confusions(repairs: Repairs) -> list[dict[str, Any]]:
    """What the phonemes of the references were heard as."""
    references, hypotheses = {}, {}
    for name in repairs.wrong:
        heard, aligned = repairs.sample.hypotheses.get(name), repairs.aligned.get(name)
        if heard and aligned and aligned.phonemes and heard.phonemes is not None:
            references[name] = " ".join(phoneme.text for phoneme in aligned.phonemes)
            hypotheses[name] = " ".join(phoneme.text for phoneme in heard.phonemes)
    return confusions(score(references, hypotheses)) if references else []


def _sentence(rows: list[dict[str, Any]]) -> str:
    found = [row for row in sorted(rows, key=lambda row: -row["errors"]) if row["errors"]]
    if not found:
        return "There are no errors to blame on a part."
    parts = [f"{row['name'].replace('_', ' ')} {row['errors']} ({100 * row['share']:.0f} %)" for row in found]
    return f"Errors by the first part whose repair mends them: {', '.join(parts)}."


def _notes(repairs: Repairs, rows: list[dict[str, Any]]) -> Iterator[str]:
    wrong = len(repairs.wrong)
    if len(repairs.sample.manifest) < repairs.of:
        yield f"Drawn: {len(repairs.sample.manifest)} of {repairs.of} utterances, {wrong} of them with errors."
    if wrong and not repairs.clean:
        yield (
            "Front end and acoustic model are not told apart, for there are no clean twins: both are in the acoustic model. "
            "A dev set that 'speechbench synth' made has them."
        )
    if any(row["name"] == UNDECIDED for row in rows):
        yield (
            "Undecided errors stand in utterances with a word that the lexicon lacks but not beside it, or in utterances "
            "whose text is too long for their audio: their phonemes cannot be repaired."
        )


def _advise(rows: list[dict[str, Any]], unknown: list[str]) -> list[dict[str, Any]]:
    """An action for each stage with errors that are no chance, the costliest first."""
    found = []
    shown = ", ".join(unknown[:10]) + (" and others" if len(unknown) > 10 else "")
    for row in sorted(rows, key=lambda row: -row["errors"]):
        if row["name"] in STAGES and row["low"]:
            stage = STAGES[row["name"]]
            reason = f"{row['errors']} errors ({100 * row['share']:.0f} %): {stage.means}"
            bounds = {"ceiling": row["ceiling"], "low": row["low"], "high": row["high"]}
            action = stage.action.format(words=shown)
            found.append({"cause": row["name"], "action": action, "reason": reason, "command": stage.command, **bounds})
    return found
