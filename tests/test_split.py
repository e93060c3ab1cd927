from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Utterance
from speechbench.split import split


def corpus(groups, each=5, duration=2.0, **extra):
    """`each` utterances of every speaker."""
    return Manifest(
        tuple(
            Utterance(f"{group}-{n}", Path(f"/{group}-{n}.wav"), duration, text="hi", speaker=group, extra=extra)
            for group in groups
            for n in range(each)
        )
    )


def speakers(manifest):
    return {utterance.speaker for utterance in manifest}


FRACTIONS = {"train": 0.8, "train-dev": 0.1, "dev": 0.1}


def test_groups_stay_whole_and_seconds_match():
    parts = split(corpus(f"s{n:02d}" for n in range(50)), "speaker", FRACTIONS)
    assert [len(part) for part in parts.values()] == [200, 25, 25]
    everyone = [speaker for part in parts.values() for speaker in speakers(part)]
    assert len(everyone) == len(set(everyone)) == 50
    assert all(utterance.split == name for name, part in parts.items() for utterance in part)


def test_the_seed_decides_and_the_order_of_lines_does_not():
    manifest = corpus("abcdefghij")
    backwards = Manifest(manifest.utterances[::-1])

    def drawn(of, seed):
        return [speakers(part) for part in split(of, "speaker", FRACTIONS, seed).values()]

    assert drawn(manifest, 0) == drawn(manifest, 0) == drawn(backwards, 0)
    assert len({str(list(map(sorted, drawn(manifest, seed)))) for seed in range(5)}) > 1


@given(
    st.lists(st.floats(0.5, 30.0), min_size=3, max_size=60),
    st.sampled_from([FRACTIONS, {"a": 0.5, "b": 0.5}, {"a": 0.98, "b": 0.01, "c": 0.01}]),
    st.integers(0, 3),
)
def test_no_utterance_is_lost_and_no_split_is_empty(durations, fractions, seed):
    manifest = Manifest(tuple(Utterance(f"u{n:02d}", Path("/a.wav"), d) for n, d in enumerate(durations)))
    parts = split(manifest, "id", fractions, seed)
    assert sorted(u.id for part in parts.values() for u in part) == sorted(manifest.by_id)
    assert all(len(part) for part in parts.values())
    if len(durations) > 20:
        for name, part in parts.items():
            assert abs(part.seconds - fractions[name] * manifest.seconds) <= 2 * max(durations)


def test_any_key_can_be_the_group():
    manifest = Manifest(tuple(Utterance(f"u{n}", Path("/a.wav"), 1.0, extra={"source": n // 2}) for n in range(8)))
    parts = split(manifest, "source", {"train": 0.5, "dev": 0.5})
    sources = [{u.extra["source"] for u in part} for part in parts.values()]
    assert [len(part) for part in sources] == [2, 2] and not sources[0] & sources[1]


def test_hold_out_keeps_doubtful_utterances_in_the_first_split():
    manifest = Manifest(tuple(Utterance(f"u{n:02d}", Path("/a.wav"), 1.0, extra={"grade": "ABC"[n % 3]}) for n in range(60)))
    parts = split(manifest, "id", FRACTIONS, hold_out=("grade", "A"))
    assert [len(part) for part in parts.values()] == [48, 6, 6]
    assert {u.extra["grade"] for name in ("train-dev", "dev") for u in parts[name]} == {"A"}


def test_hold_out_never_cuts_a_group():
    pure, mixed = corpus("abc", grade="A"), corpus("d", grade="A")
    doubtful = Utterance("d-x", Path("/d.wav"), 1.0, speaker="d", extra={"grade": "B"})
    parts = split(
        Manifest((*pure, *mixed, doubtful)), "speaker", {"train": 0.5, "dev": 0.25, "test": 0.25}, hold_out=("grade", "A")
    )
    assert "d" in speakers(parts["train"])


def test_only_pins_groups_and_the_fractions_are_of_the_rest():
    parts = split(corpus("abcde"), "speaker", {"train": 0.75, "dev": 0.25}, only={"test": ["c"]})
    assert list(parts) == ["train", "dev", "test"]
    assert speakers(parts["test"]) == {"c"}
    assert (len(parts["train"]), len(parts["dev"])) == (15, 5)


def test_only_for_a_split_with_a_fraction_counts_towards_it():
    for seed in range(5):
        parts = split(corpus("abcdefghij"), "speaker", {"train": 0.8, "dev": 0.2}, seed, only={"dev": ["a"]})
        assert "a" in speakers(parts["dev"]) and len(parts["dev"]) == 10


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fractions": {"train": 0.8, "dev": 0.1}}, "sum to 0.9; they have to sum to 1"),
        ({"fractions": {"train": 1.2, "dev": -0.2}}, "above 0"),
        ({"fractions": {"../train": 1.0}}, "cannot name a file"),
        ({"by": "speeker"}, "did you mean speaker"),
        ({"by": "text", "fractions": {"a": 0.5, "b": 0.5}}, "only 1 groups"),
        ({"only": {"test": ["z"]}}, "unknown speaker in --only test 'z'"),
        ({"only": {"test": ["a"], "dev": ["a"]}}, "both test and dev"),
        ({"fractions": dict.fromkeys("wxyz", 0.25)}, "only 3 groups of 'speaker' are left for the splits w, x, y, z"),
        ({"hold_out": ("grade", "A")}, "only 0 groups"),
    ],
)
def test_what_cannot_be_divided_is_explained(changes, message):
    arguments = {"by": "speaker", "fractions": {"train": 0.5, "dev": 0.5}} | changes
    with pytest.raises(SpeechbenchError, match=message):
        split(corpus("abc"), **arguments)


def test_utterances_without_the_key_are_named():
    manifest = Manifest((*corpus("ab"), Utterance("lost", Path("/l.wav"), 1.0)))
    with pytest.raises(SpeechbenchError, match=r"1 of 11 utterances have no 'speaker': lost; .* --by id"):
        split(manifest, "speaker", {"train": 0.5, "dev": 0.5})
