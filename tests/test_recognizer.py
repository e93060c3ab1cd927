import json

import pytest

from speechbench.errors import SpeechbenchError
from speechbench.recognizer import Hypothesis, read_hypotheses, write_hypotheses


@pytest.fixture
def write(tmp_path):
    def write(*rows):
        path = tmp_path / "h.jsonl"
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
        return path

    return write


def test_hypotheses_survive_their_file(tmp_path):
    hypotheses = [
        Hypothesis("a", "stop the music", -12.5, "stop the musik", "S T AA P"),
        Hypothesis("b", ""),
        Hypothesis("c", "né\u2028e", greedy=""),
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
        ({"id": "b", "text": "x", "phonemes": ["AA"]}, r"'phonemes' is \['AA'\]; expected a string"),
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
