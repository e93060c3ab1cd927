"""Growing the phonetic decision tree: what one Gaussian fits worst is split, by a question about the unit before or behind.

Source: Young, Odell and Woodland 1994. Questions are not a phonetician's but the data's: the units are clustered, and each
cluster is a question, so that any set of units can be used (Povey et al. 2011, "cluster-phones").
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.graph import Topology, pieces_of
from pipelines.phoneme.align import Alignment
from pipelines.tree import LEFT, RIGHT, Node, Question, Tree

AT_ONCE = 50  # utterances whose frames are sorted together
FLOOR = 0.01  # of variances, as of the mixtures'
Moments = NDArray[np.float64]  # (..., 1 + 2 F): frames, sums and sums of squares of the features
Masks = NDArray[np.bool_]  # (Q, U): the units of each question


@dataclass(frozen=True)
class Contexts:
    """What was seen of each state in each context: K rows."""

    keys: NDArray[np.int64]  # (K, 4): unit, state, unit on the left, unit on the right; -1 is the edge of the utterance
    moments: Moments  # (K, 1 + 2 F)

    @classmethod
    def gather(cls, topology: Topology, utterances: Iterable[tuple[NDArray[np.float32], Alignment]]) -> Contexts:
        """Count all frames by context.

        Args:
            topology: Of the alignments.
            utterances: Features (T, F) and alignment (T,) of each.
        """
        base = len(topology.units) + 1
        found: dict[int, Moments] = {}

        def coded(alignment: Alignment) -> NDArray[np.int64]:
            units, starts = pieces_of(alignment, topology)
            around = np.concatenate([[0], units + 1, [0]])
            contexts = (around[:-2] * base + around[2:]) * base + units
            lengths = np.diff(starts, append=len(alignment))
            code: NDArray[np.int64] = np.repeat(contexts, lengths) * topology.states + topology.owners[alignment, 1]
            return code

        waiting = iter(utterances)
        while some := [(features, coded(alignment)) for features, alignment in itertools.islice(waiting, AT_ONCE)]:
            exact, code = (np.concatenate(parts) for parts in zip(*some, strict=True))
            order = np.argsort(code, kind="stable")
            exact = exact[order].astype(np.float64)
            rows = np.concatenate([np.ones((len(exact), 1)), exact, np.square(exact)], axis=1)
            seen, first = np.unique(code[order], return_index=True)
            for key, total in zip(seen.tolist(), np.add.reduceat(rows, first), strict=True):
                found[key] = found[key] + total if key in found else total
        codes = sorted(found)
        keys = [
            (
                code // topology.states % base,
                code % topology.states,
                code // topology.states // base // base - 1,
                code // topology.states // base % base - 1,
            )
            for code in codes
        ]
        return cls(np.array(keys), np.array([found[code] for code in codes]))


def log_likelihood(moments: Moments) -> NDArray[np.float64]:
    """Of the frames under the one Gaussian (diagonal) that fits them best, up to a constant per frame."""
    frames = moments[..., :1]
    safe = np.maximum(frames, 1e-9)
    size = (moments.shape[-1] - 1) // 2
    mean = moments[..., 1 : 1 + size] / safe
    variance = np.maximum(moments[..., 1 + size :] / safe - np.square(mean), FLOOR)
    return np.asarray(-0.5 * frames[..., 0] * np.log(variance).sum(-1))


def questions(contexts: Contexts, units: int) -> Masks:
    """Sets of units that sound alike: all clusters on the way from single units to one cluster, joined cheapest first."""
    states = int(contexts.keys[:, 1].max()) + 1
    totals = np.zeros((units, states, contexts.moments.shape[1]))
    np.add.at(totals, (contexts.keys[:, 0], contexts.keys[:, 1]), contexts.moments)
    clusters = [(np.eye(units, dtype=bool)[unit], totals[unit]) for unit in range(units) if totals[unit][:, 0].sum() > 0]
    masks = [mask for mask, _ in clusters]
    while len(clusters) > 2:
        moments = np.array([one for _, one in clusters])
        own = log_likelihood(moments).sum(1)
        joint = log_likelihood(moments[:, None] + moments[None]).sum(2)
        loss = own[:, None] + own[None] - joint
        np.fill_diagonal(loss, np.inf)
        a, b = divmod(int(loss.argmin()), len(clusters))
        joined = (clusters[a][0] | clusters[b][0], clusters[a][1] + clusters[b][1])
        clusters = [one for place, one in enumerate(clusters) if place not in (a, b)] + [joined]
        masks.append(joined[0])
    return np.array(masks)


@dataclass(frozen=True)
class _Leaf:
    """Contexts that share a column so far, and the best way to part them."""

    rows: NDArray[np.int64]
    gain: float
    side: str
    question: int
    yes: NDArray[np.bool_]  # which of the rows


def grow(contexts: Contexts, topology: Topology, columns: int, least_frames: float, least_gain: float) -> Tree:
    """Split the state whose split gains most, until there are enough columns or no split is worth it.

    Args:
        contexts: What was seen.
        topology: The units, without a tree. The separator's states are never split.
        columns: At most.
        least_frames: On either side of a split.
        least_gain: Log-likelihood of a split, less than which is taken for chance.
    """
    masks = questions(contexts, len(topology.units))
    # The edge of the utterance, -1, finds its answer in the last column: it is in no question.
    masks = np.concatenate([masks, np.zeros((len(masks), 1), dtype=bool)], axis=1)
    silent = topology.units.index(topology.separator)
    leaves: dict[int, _Leaf] = {}
    answers: dict[int, tuple[str, int, int, int]] = {}  # node -> side, question, node if yes, node if no
    heap: list[tuple[float, int]] = []
    roots = {
        (unit, state): unit * topology.states + state for unit in range(len(topology.units)) for state in range(topology.states)
    }

    def add(node: int, rows: NDArray[np.int64], may_split: bool) -> None:
        leaves[node] = _best_split(contexts, masks, rows, least_frames) if may_split else _Leaf(rows, 0.0, LEFT, 0, rows < 0)
        if leaves[node].gain > least_gain:
            heapq.heappush(heap, (-leaves[node].gain, node))

    for (unit, state), node in roots.items():
        rows = np.flatnonzero((contexts.keys[:, 0] == unit) & (contexts.keys[:, 1] == state))
        add(node, rows, unit != silent)
    fresh = len(roots)
    while heap and len(leaves) < columns:
        _, node = heapq.heappop(heap)
        leaf = leaves.pop(node)
        answers[node] = leaf.side, leaf.question, fresh, fresh + 1
        add(fresh, leaf.rows[leaf.yes], True)
        add(fresh + 1, leaf.rows[~leaf.yes], True)
        fresh += 2

    owners: list[tuple[int, int]] = []

    def tree(node: int, owner: tuple[int, int]) -> Node:
        if node not in answers:
            owners.append(owner)
            return len(owners) - 1
        side, question, yes, no = answers[node]
        among = frozenset(np.flatnonzero(masks[question]).tolist())
        return Question(side, among, tree(yes, owner), tree(no, owner))

    nodes = [
        tuple(tree(roots[unit, state], (unit, state)) for state in range(topology.states))
        for unit in range(len(topology.units))
    ]
    return Tree(tuple(nodes), tuple(owners))


def _best_split(contexts: Contexts, masks: Masks, rows: NDArray[np.int64], least_frames: float) -> _Leaf:
    moments = contexts.moments[rows]
    total = moments.sum(0)
    best = _Leaf(rows, 0.0, LEFT, 0, np.zeros(len(rows), dtype=bool))
    if total[0] < 2 * least_frames:
        return best
    for side, column in ((LEFT, 2), (RIGHT, 3)):
        said_yes = masks[:, contexts.keys[rows, column]]  # (Q, rows)
        yes = said_yes.astype(np.float64) @ moments
        no = total - yes
        gains = log_likelihood(yes) + log_likelihood(no) - log_likelihood(total)
        gains[(yes[:, 0] < least_frames) | (no[:, 0] < least_frames)] = 0.0
        question = int(gains.argmax())
        if gains[question] > best.gain:
            best = _Leaf(rows, float(gains[question]), side, question, said_yes[question])
    return best
