"""Sets with planted error rates, speaker effects and SNRs, for the tests of diagnose."""

from pathlib import Path

import numpy as np

from speechbench.diagnostics import ScoredSet
from speechbench.manifest import Manifest, Utterance
from speechbench.recognizer import Hypothesis

WORDS = tuple("abcdefghijklmnopqr")  # one error never looks like another word moved


def plant(name, rate, *, utterances=120, speakers=12, spread=0.3, seed=0, noise=False, folder=None, greedy=False):
    """A set whose words err at `rate`, times a log-normal effect of the speaker, times an effect of the SNR (mean 1)."""
    texts = np.random.default_rng([1, *name.encode()])  # the same for every seed and rate: systems share the references
    rng = np.random.default_rng([seed, *name.encode()])
    effects = np.exp(rng.normal(0, spread, speakers) - spread**2 / 2)
    rows, hypotheses = [], {}
    for number in range(utterances):
        words = texts.choice(WORDS, size=int(texts.integers(4, 13))).tolist()
        chance, extra = rate * effects[number % speakers], {}
        if noise:
            snr_db = float(texts.uniform(-5, 20))
            chance *= np.exp(-(snr_db - 7.5) / 10) / 1.28
            source = number % 12
            extra = {
                "noise": [{"id": f"n{source}", "source": f"car{source}", "condition": ["city", "rain"][source % 2]}],
                "snr_db": snr_db,
            }
        heard = [_hear(word, min(chance, 0.95), rng) for word in words]
        text = " ".join(word for word in heard if word)
        utterance = Utterance(
            f"{name}-{number:03d}",
            Path(folder or "/absent") / f"{name}-{number:03d}.flac",
            2.0,
            text=" ".join(words),
            speaker=f"{name}-s{number % speakers:02d}",
            extra=extra,
        )
        rows.append(utterance)
        hypotheses[utterance.id] = Hypothesis(utterance.id, text, greedy=text if greedy else None)
    return ScoredSet(Manifest(tuple(rows), Path(folder) / f"{name}.jsonl" if folder else None), hypotheses)


def _hear(word, chance, rng):
    wrong, kind = rng.random(2) < (chance, 0.8)  # drawn in any case, so that two systems err on the same words
    if not wrong:
        return word
    return WORDS[(WORDS.index(word) + 1) % len(WORDS)] if kind else None
