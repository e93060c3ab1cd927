import json

import pytest

from speechbench.errors import SpeechbenchError
from speechbench.recognizer import Alternative, Hypothesis, Timed, read_hypotheses, write_hypotheses


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "h.jsonl"
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write


def test_hypotheses_survive_their_file(tmp_path):
    hypotheses = [
        Hypothesis(
            "a",
            "stop",
            -12.5,
            "stob",
            "stobb",
            (Timed("stop", 0.1, 0.5, 0.875),),
            (Timed("S", 0.1, 0.2), Timed("T", 0.2, 0.5)),
            (Alternative("stop", -12.5), Alternative("shop", -14.0)),
            1.25,
            "search",
        ),
        Hypothesis("b", ""),
        Hypothesis("c", "né\u2028e", greedy=""),
        Hypothesis("d", "", words=(), phonemes=(), nbest=()),
    ]
    write_hypotheses(tmp_path / "h.jsonl", hypotheses)
    assert list(read_hypotheses(tmp_path / "h.jsonl").values()) == hypotheses
    assert json.loads((tmp_path / "h.jsonl").read_text().split("\n")[1]) == {"id": "b", "text": ""}


def test_id_and_text_of_any_recogniser_are_enough(write):
    assert read_hypotheses(write({"id": "a", "text": "hi", "confidence": 0.5}, "")) == {"a": Hypothesis("a", "hi")}


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "not JSON"),
        ("[]", "expected an object with 'id' and 'text'"),
        ({"id": "b"}, "expected an object with 'id' and 'text'"),
        ({"id": 1, "text": "x"}, "expected an object with 'id' and 'text'"),
        ({"id": "b", "text": None}, "expected an object with 'id' and 'text'"),
        ({"id": "a", "text": "again"}, "id 'a' occurs twice"),
        ({"id": "b", "text": "x", "greedy": 5}, "'greedy' is 5; expected a string"),
        ({"id": "b", "text": "x", "beam": 5}, "'beam' is 5; expected a string"),
        ({"id": "b", "text": "x", "phonemes": "AA"}, "'phonemes' is 'AA'; expected a list"),
        ({"id": "b", "text": "x", "phonemes": ["AA"]}, "'phonemes' item 1: expected an object with 'text', 'start' and 'end'"),
        ({"id": "b", "text": "x", "words": [{"text": "x", "start": 1}]}, "'words' item 1: from 1 to None s; expected 0 <= st"),
        ({"id": "b", "text": "x", "words": [{"text": "x", "start": 1, "end": 0.5}]}, "'words' item 1: from 1 to 0.5 s"),
        ({"id": "b", "text": "x", "words": [{"text": "x", "start": True, "end": 2}]}, "'words' item 1: 'start' is True; exp"),
        (
            {"id": "b", "text": "x", "words": [{"text": "x", "start": 1, "end": 2, "confidence": 80}]},
            "'words' item 1: 'confidence' is 80; expected 0 to 1",
        ),
        ({"id": "b", "text": "x", "nbest": [{"text": "x"}]}, "'nbest' item 1: expected an object with 'text' and 'score'"),
        ({"id": "b", "text": "x", "duration": "1"}, "'duration' is '1'; expected a number"),
        ({"id": "b", "text": "x", "score": "high"}, "'score' is 'high'; expected a number"),
        ('{"id": "b", "text": "x", "score": NaN}', "'score' is nan; expected a number"),
    ],
)
def test_bad_lines_are_told_with_their_numbers(write, row, message):
    with pytest.raises(SpeechbenchError, match=f"h.jsonl: line 2: {message}"):
        read_hypotheses(write({"id": "a", "text": "x"}, row))


def test_an_empty_file_is_an_error(write):
    with pytest.raises(SpeechbenchError, match="holds no hypothesis"):
        read_hypotheses(write(""))
