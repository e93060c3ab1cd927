"""A set with scripted scores, some of whose transcripts are wrong, for the tests of the label finder."""

from dataclasses import dataclass, replace

import numpy as np
from planted_errors import WORDS, plant
from scipy import stats

from speechbench.diagnostics import ScoredSet
from speechbench.manifest import Manifest
from speechbench.recognizer import Hypothesis


@dataclass(frozen=True)
class Doubted:
    """What two recognisers heard, the scores of the (partly wrong) transcripts, and what was said."""

    scored: ScoredSet
    rival: ScoredSet
    references: dict[str, Hypothesis]
    truth: dict[str, str]

    @property
    def wrong(self):
        return {u.id for u in self.scored.manifest if u.text != self.truth[u.id]}


def doubt(share=0.05, rate=0.08, utterances=400, kind="word", seed=0):
    """Each wrong word costs a reference 3 to 30 nats, each word that was misheard 0 to 6 nats."""
    rng = np.random.default_rng([seed, 7])
    first, second = (plant("dev", rate, utterances=utterances, seed=number) for number in (2 * seed, 2 * seed + 1))
    truth = {u.id: u.text for u in first.manifest}
    ids = list(truth)
    chosen = [ids[n] for n in rng.permutation(utterances)[: round(share * utterances)]]
    texts = dict(truth)
    if kind == "swap":
        texts |= {key: truth[other] for key, other in zip(chosen, chosen[1:] + chosen[:1], strict=True)}
    else:
        texts |= {key: _change_word(truth[key], rng) for key in chosen}
    manifest = Manifest(tuple(replace(u, text=texts[u.id]) for u in first.manifest))
    hypotheses, references = {}, {}
    costs = {key: counts.errors for key, counts in ScoredSet(Manifest(manifest.utterances), _said(truth)).score.counts.items()}
    for key, hypothesis in first.hypotheses.items():
        misheard = first.score.counts[key].errors
        margin = sum(rng.uniform(3, 30) for _ in range(costs[key])) + sum(rng.uniform(0, 6) for _ in range(misheard))
        hypotheses[key] = replace(hypothesis, score=-50.0)
        references[key] = Hypothesis(key, texts[key], score=-50.0 - margin, oracle="words")
    return Doubted(ScoredSet(manifest, hypotheses), ScoredSet(manifest, second.hypotheses), references, truth)


def _said(texts):
    return {key: Hypothesis(key, text) for key, text in texts.items()}


def _change_word(text, rng):
    words = text.split()
    place = rng.integers(len(words))
    words[place] = str(rng.choice([word for word in WORDS if word != words[place]]))
    return " ".join(words)


def area(found, wrong):
    """The area under the ROC curve of a ranking: how often a wrong transcript is above a right one."""
    ours = [one.suspicion for one in found if one.id in wrong]
    others = [one.suspicion for one in found if one.id not in wrong]
    return float(stats.mannwhitneyu(ours, others).statistic / (len(ours) * len(others)))
