import re
from itertools import pairwise

import pytest

from speechbench.alignments import textgrid, write_ctm, write_textgrids, write_trn
from speechbench.errors import SpeechbenchError
from speechbench.recognizer import Hypothesis, Timed

WORDS = (Timed("play", 0.25, 0.5, 0.9), Timed('"it"', 0.5, 0.75, 1.0))
PHONEMES = (Timed("P", 0.25, 0.35), Timed("L", 0.35, 0.5), Timed("IH", 0.5, 0.75))
HEARD = Hypothesis("b", 'play "it"', words=WORDS, phonemes=PHONEMES, duration=1.25)


def tiers(text):
    """An independent reader of Praat's long text format: tier -> (from, to, text)."""
    assert text.startswith('File type = "ooTextFile"\nObject class = "TextGrid"\n\nxmin = 0\n')
    found = {}
    for part in re.split(r"item \[\d+\]:", text)[1:]:
        name = re.search(r'name = "(.*)"', part)[1]
        intervals = re.findall(r'intervals \[\d+\]:\s+xmin = (\S+)\s+xmax = (\S+)\s+text = "(.*)"', part)
        assert len(intervals) == int(re.search(r"intervals: size = (\d+)", part)[1])
        found[name] = [(float(a), float(b), t.replace('""', '"')) for a, b, t in intervals]
    assert int(re.search(r"^size = (\d+)", text, re.MULTILINE)[1]) == len(found)
    return found


def test_textgrid_tiers_are_whole_from_the_beginning_to_the_end():
    found = tiers(textgrid(HEARD))
    assert found["words"] == [(0, 0.25, ""), (0.25, 0.5, "play"), (0.5, 0.75, '"it"'), (0.75, 1.25, "")]
    assert [text for _, _, text in found["phones"]] == ["", "P", "L", "IH", ""]
    for intervals in found.values():
        assert [intervals[0][0], intervals[-1][1]] == [0, 1.25]
        assert all(a[1] == b[0] for a, b in pairwise(intervals))


def test_textgrid_without_phonemes_and_of_silence():
    assert tiers(textgrid(Hypothesis("a", "x", words=(Timed("x", 0.0, 1.0),)))) == {"words": [(0, 1.0, "x")]}
    assert tiers(textgrid(Hypothesis("a", "", words=(), duration=2.0))) == {"words": [(0, 2.0, "")]}


def test_one_textgrid_an_utterance(tmp_path):
    write_textgrids(tmp_path, [HEARD, Hypothesis("speaker/a", "", duration=1.0)])
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.TextGrid")) == [
        "b.TextGrid",
        "speaker/a.TextGrid",
    ]
    with pytest.raises(SpeechbenchError, match=r"'\.\./a': this id leads out of"):
        write_textgrids(tmp_path / "inner", [Hypothesis("../a", "", duration=1.0)])


def test_ctm_is_sorted_by_id_and_time(tmp_path):
    other = Hypothesis("a", "no", words=(Timed("no", 0.1, 0.3),))
    write_ctm(tmp_path / "words.ctm", [HEARD, other], "words")
    assert (tmp_path / "words.ctm").read_text().splitlines() == [
        "a 1 0.100 0.200 no",
        "b 1 0.250 0.250 play 0.900",
        'b 1 0.500 0.250 "it" 1.000',
    ]
    write_ctm(tmp_path / "phones.ctm", [HEARD], "phonemes")
    assert (tmp_path / "phones.ctm").read_text().splitlines()[1] == "b 1 0.350 0.150 L"


def test_trn(tmp_path):
    write_trn(tmp_path / "h.trn", [HEARD, Hypothesis("a", "")])
    assert (tmp_path / "h.trn").read_text() == 'play "it" (b)\n(a)\n'


@pytest.mark.parametrize(
    ("hypothesis", "message"),
    [
        (Hypothesis("a", "x"), "a: has no words with times; decode with a recogniser that gives them"),
        (Hypothesis("a", "", words=()), "a: is empty and of unknown duration"),
        (
            Hypothesis("a", "x y", words=(Timed("x", 0.0, 0.5), Timed("y", 0.4, 0.9))),
            "a: 'y' begins at 0.4 s, before what is before it has ended",
        ),
    ],
)
def test_what_cannot_be_drawn_is_named(hypothesis, message):
    with pytest.raises(SpeechbenchError, match=re.escape(message)):
        textgrid(hypothesis)


@pytest.mark.parametrize(
    ("utterance_id", "word", "message"),
    [
        ("a", "{x", "a: '{x' holds {, which has a meaning in ctm and trn files; remove it"),
        ("a", "@", "a: '@' holds @"),
        ("a b", "x", "'a b': ctm and trn files take no space or parenthesis in an id"),
        ("a(2)", "x", "'a(2)': ctm and trn files take no space or parenthesis in an id"),
    ],
)
def test_what_scoring_tools_would_misread_is_refused(tmp_path, utterance_id, word, message):
    hypothesis = Hypothesis(utterance_id, word, words=(Timed(word, 0.0, 1.0),))
    for write in (lambda: write_trn(tmp_path / "h", [hypothesis]), lambda: write_ctm(tmp_path / "h", [hypothesis], "words")):
        with pytest.raises(SpeechbenchError, match=re.escape(message)):
            write()
    assert not (tmp_path / "h").exists()


def test_a_tier_that_is_none(tmp_path):
    with pytest.raises(SpeechbenchError, match="unknown tier 'phones'; did you mean phonemes"):
        write_ctm(tmp_path / "h", [HEARD], "phones")
