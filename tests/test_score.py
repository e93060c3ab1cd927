import unicodedata

import jiwer
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechbench.errors import SpeechbenchError
from speechbench.score import Counts, align, count, score

WORDS = st.lists(st.sampled_from(["stop", "the", "music", "now", "née", "it's", "ß"]), max_size=8)
SPOKEN = WORDS.filter(bool)


@st.composite
def sets(draw):
    """References and hypotheses of one set."""
    pairs = draw(st.lists(st.tuples(SPOKEN, WORDS), min_size=1, max_size=6))
    return [{f"u{n}": " ".join(words) for n, words in enumerate(side)} for side in zip(*pairs, strict=True)]


def oracle(references, hypotheses, process):
    return process(list(references.values()), [hypotheses[key] for key in references])


@given(sets())
def test_words_agree_with_jiwer(pair):
    expected = oracle(*pair, jiwer.process_words)
    total = score(*pair).total
    # Which of several equally good alignments is taken differs; their errors do not.
    assert total.errors == expected.substitutions + expected.insertions + expected.deletions
    assert total.rate == pytest.approx(expected.wer)
    assert total.words == expected.hits + expected.substitutions + expected.deletions


@given(sets())
def test_characters_agree_with_jiwer(pair):
    expected = oracle(*pair, jiwer.process_characters)
    assert score(*pair, unit="character").total.rate == pytest.approx(expected.cer)


@given(sets())
def test_counts_add_up(pair):
    references, hypotheses = pair
    scored = score(references, hypotheses)
    for key, counts in scored.counts.items():
        assert counts.hits + counts.substitutions + counts.deletions == counts.words == len(references[key].split())
        assert counts.hits + counts.substitutions + counts.insertions == len(hypotheses[key].split())
    assert scored.total.errors == sum(counts.errors for counts in scored.counts.values())
    assert scored.total.words == sum(counts.words for counts in scored.counts.values())


@given(SPOKEN, WORDS)
def test_an_alignment_holds_both_sides_in_order(reference, hypothesis):
    pairs = align(reference, hypothesis)
    assert [r for r, _ in pairs if r is not None] == reference
    assert [h for _, h in pairs if h is not None] == hypothesis
    assert (None, None) not in pairs


@given(sets(), st.randoms())
def test_pairs_are_made_by_id_whatever_the_order(pair, random):
    references, hypotheses = pair
    shuffled = list(hypotheses.items())
    random.shuffle(shuffled)
    assert score(references, dict(shuffled)).counts == score(references, hypotheses).counts


def test_rates_are_pooled_and_not_averaged():
    # One short utterance that is all wrong among long ones that are right: the mean of the rates would be 25 %.
    long = " ".join(f"w{n}" for n in range(20))
    references = {"a": "yes", "b": long, "c": long, "d": long}
    assert score(references, references | {"a": "no"}).total.rate == pytest.approx(1 / 61)


def test_a_blank_line_keeps_its_place():
    references = {"a": "one two", "b": "three four", "c": "five six"}
    scored = score(references, {"a": "", "b": "three four", "c": "five six"})
    assert [c.errors for c in scored.counts.values()] == [2, 0, 0]  # dropped per side, pairs would shift: b against a
    assert scored.total == Counts(hits=4, deletions=2)


def test_a_rate_can_pass_one():
    assert score({"a": "no"}, {"a": "oh no not again"}).total.rate == 3.0


def test_missing_is_an_error_unless_asked_otherwise():
    references = {"a": "one two", "b": "three"}
    with pytest.raises(SpeechbenchError, match=r"1 of 2 hypotheses are missing: b; .*--missing deletions"):
        score(references, {"a": "one two"})
    scored = score(references, {"a": "one two"}, missing="deletions")
    assert (scored.missing, scored.total) == (("b",), Counts(hits=2, deletions=1))


def test_hypotheses_without_reference_are_named():
    with pytest.raises(SpeechbenchError, match="1 hypotheses have no reference: z"):
        score({"a": "one"}, {"a": "one", "z": "two"})


def test_accents_count_alike_however_they_are_written():
    text = "née à paris"
    composed, decomposed = (unicodedata.normalize(form, text) for form in ("NFC", "NFD"))
    assert composed != decomposed
    for unit in ("word", "character"):
        assert score({"a": composed}, {"a": decomposed}, unit).total.errors == 0


def test_nothing_else_is_normalised_unless_asked():
    reference, hypothesis = {"a": "It's five, now."}, {"a": "it’s FIVE now"}
    assert score(reference, hypothesis).total == Counts(substitutions=3)
    assert score(reference, hypothesis, normalizer="plain").total == Counts(hits=3)


def test_braces_and_signs_are_letters_like_others():
    text = "{laugh} (uh) @home <s>"
    assert score({"a": text}, {"a": text}).total == Counts(hits=4)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normalizer": "plane"}, "unknown normalizer 'plane'; did you mean plain"),
        ({"unit": "words"}, "unknown unit 'words'; did you mean word"),
        ({"references": {}, "hypotheses": {}}, "no reference"),
        ({"references": {"a": "..."}, "normalizer": "plain"}, "hold no word after normalizer 'plain'"),
    ],
)
def test_what_cannot_be_scored_is_explained(arguments, message):
    with pytest.raises(SpeechbenchError, match=message):
        score(**({"references": {"a": "one"}, "hypotheses": {"a": "one"}} | arguments))


def test_the_line_is_kaldis():
    assert str(Counts(17788, 2020, 358, 330)) == "13.45 [ 2708 / 20138, 358 ins, 330 del, 2020 sub ]"


def test_an_empty_reference_has_no_rate():
    assert count([]).rate != count([]).rate  # NaN
    assert count([(None, "oh")]) == Counts(insertions=1)
