"""The gap table: what lies between human, train, train-dev, dev and test error, and which gaps are real.

Source: Ng, "Machine Learning Yearning" (2018) and his Coursera course "Structuring Machine Learning Projects".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from speechbench.diagnostics.bootstrap import Estimate, difference, fixed
from speechbench.errors import SpeechbenchError

SETS = ("human", "train", "train_dev", "dev", "test")
NAMES = ("avoidable_bias", "variance", "data_mismatch", "dev_overfitting")  # between one set and the next
SHORT = ("bias", "variance", "mismatch", "overfitting")  # for gaps that span several because a set is missing

# Ng's verdicts from sizes alone. Between his cases "1/8/10 is bias" (2 against 7) and "4/7/10/12 is all three" (2 against 3)
# any share from 2/7 to 2/3 reproduces him; between "0/0.5/1 is good" and that 2, any least size from 0.5 to 2 points.
LEAST_SHARE = 0.5  # of the largest gap; the reasons below say "half"
LEAST_SIZE = 0.01  # 1 point

JOINT_LEVEL = 0.95  # of all gaps' intervals together, so that a table of several gaps does not cry wolf


@dataclass(frozen=True)
class Human:
    """The human level: the best human error known, or a range in which it lies."""

    rate: float
    low: float
    high: float
    errors: int | None = None  # counted on dev, where humans transcribed it
    words: int | None = None

    @classmethod
    def parse(cls, text: str) -> Human:
        """From "0.04" or "0.02:0.04".

        Raises:
            SpeechbenchError: Not fractions from 0 to 1, or a range that runs backwards.
        """
        low, _, high = text.partition(":")
        try:
            ends = float(low), float(high or low)
        except ValueError:
            ends = (1.0, 0.0)
        if not 0 <= ends[0] <= ends[1] <= 1:
            raise SpeechbenchError(
                f"human level '{text}': expected a fraction from 0 to 1, for example 0.04, or a range 0.02:0.04"
            )
        return cls(sum(ends) / 2, *ends)

    @classmethod
    def best(cls, texts: tuple[str, ...]) -> Human | None:
        """The lowest of several levels: the best humans come nearest to what is possible."""
        return min(map(cls.parse, texts), key=lambda human: human.rate, default=None)


@dataclass(frozen=True)
class Gap:
    """How much error is added from one set to the next."""

    before: str  # "" where nothing is known of the human level: the gap is measured from 0
    after: str
    value: float
    low: float | None  # of intervals that hold together for all gaps at `JOINT_LEVEL`
    high: float | None
    separable: bool | None  # None: unknown
    reason: str


def name_gap(before: str, after: str, one_distribution: bool = False) -> str:
    """The name of the gap between two sets; where sets between are missing, it names all that it may be."""
    if one_distribution and (before, after) == ("train", "dev"):
        return "variance"
    first, last = SETS.index(before or "human"), SETS.index(after)
    if last - first == 1:
        return NAMES[first]
    return "_or_".join(filter(None, ("_".join(SHORT[first : last - 1]), SHORT[last - 1])))


def measure_gaps(errors: Mapping[str, Estimate], human: Human | None = None, one_distribution: bool = False) -> dict[str, Gap]:
    """The gaps between the sets that are there, in the order of `SETS`.

    Args:
        errors: Error rate by set, without the human level.
        human: The human level; without it the first gap is measured from 0, an upper bound.
        one_distribution: Without train-dev, dev is taken to be of the training distribution, so that no mismatch is in it.

    Raises:
        SpeechbenchError: No set at all.
    """
    present = [name for name in SETS[1:] if name in errors]
    if not present:
        raise SpeechbenchError(f"there is no set to compare; give one or more of {', '.join(SETS[1:])}")
    chain = {"human" if human else "": fixed(human.rate if human else 0.0)} | {name: errors[name] for name in present}
    pairs = list(zip(chain, present, strict=False))
    differences = {pair: difference(chain[pair[1]], chain[pair[0]]) for pair in pairs}
    tested = sum(e.draws is not None and before != "" and not e.doubt for (before, _), e in differences.items())
    level = 1 - (1 - JOINT_LEVEL) / max(1, tested)  # Bonferroni
    largest = max(e.value for (before, _), e in differences.items() if before or len(pairs) == 1)
    return {
        name_gap(before, after, one_distribution): _judge(before, after, estimate, level, largest, human)
        for (before, after), estimate in differences.items()
    }


def _judge(before: str, after: str, estimate: Estimate, level: float, largest: float, human: Human | None) -> Gap:
    value, ends = estimate.value, estimate.interval(level)
    low, high = ends or (None, None)
    if before == "human" and human and human.high > human.low:
        low = (value if low is None else low) - (human.high - human.rate)
        high = (value if high is None else high) + (human.rate - human.low)
    separable, reason = _separable(before, estimate, low, ends is not None, largest)
    return Gap(before, after, value, low, high, separable, reason)


def _separable(before: str, estimate: Estimate, low: float | None, measured: bool, largest: float) -> tuple[bool | None, str]:
    value = estimate.value
    if before == "":
        return None, "no human level is given, so this is an upper bound; name one with --human"
    if estimate.doubt:
        return None, estimate.doubt
    if low is not None and low <= 0:
        return False, "its interval includes 0" if value > 0 else "no error is added"
    if measured:
        return True, "its interval lies above 0"
    # Rounded, so that 0.07 - 0.04 and 0.10 - 0.07 are the same size.
    if round(value, 9) < LEAST_SIZE:
        return False, f"below {100 * LEAST_SIZE:.0f} point" if value > 0 else "no error is added"
    if round(value - LEAST_SHARE * largest, 9) < 0:
        return False, "less than half of the largest gap"
    return True, f"{100 * LEAST_SIZE:.0f} point or more, and at least half of the largest gap (no counts, no interval)"
