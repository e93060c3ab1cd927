import itertools
import json

import pytest

from speechbench import files
from speechbench.errors import SpeechbenchError


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writing_is_seen_only_when_it_is_whole(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with files.writing(path) as aside:
        aside.write_text("half")
        assert not path.exists() and aside.suffix == ".txt"
    assert path.read_text() == "half" and names(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [SpeechbenchError, KeyboardInterrupt, OSError])
def test_an_error_while_writing_leaves_what_was_there(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(error), files.writing(path) as aside:
        aside.write_text("half")
        raise error
    assert path.read_text() == "old" and names(tmp_path) == ["a.txt"]


def test_json_is_readable_strict_and_whole(tmp_path):
    path = tmp_path / "a.json"
    files.write_json(path, {"word": "né", "rate": 0.5})
    assert "né" in path.read_text() and files.read_json(path) == {"word": "né", "rate": 0.5}
    with pytest.raises(ValueError, match="not JSON compliant"):
        files.write_json(path, {"rate": float("nan")})
    assert files.read_json(path)["rate"] == 0.5


def test_json_lines_are_whole_too(tmp_path):
    path = tmp_path / "a.jsonl"
    files.write_json_lines(path, ({"n": n} for n in range(3)))
    assert [json.loads(line)["n"] for line in files.read_lines(path)] == [0, 1, 2]
    with pytest.raises(ZeroDivisionError):
        files.write_json_lines(path, ({"n": 1 // n} for n in (1, 0)))
    assert len(files.read_lines(path)) == 3 and names(tmp_path) == ["a.jsonl"]


def test_lines_end_at_line_feeds_alone(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes("a\u2028b\r\nc\n\nd".encode())
    assert files.read_lines(path) == ["a\u2028b", "c", "", "d"]


def test_faults_of_json_files_are_told(tmp_path):
    (tmp_path / "a.json").write_text('{\n"a": 1,\n}')
    with pytest.raises(SpeechbenchError, match=r"a.json: line 3: not JSON"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(SpeechbenchError, match="no such file"):
        files.read_json(tmp_path / "b.json")


def test_a_new_or_empty_folder_can_be_claimed(tmp_path):
    files.claim(tmp_path / "new", overwrite=False)
    (tmp_path / "empty").mkdir()
    files.claim(tmp_path / "empty", overwrite=False)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("finished", [False, True])
def test_a_folder_of_ours_is_claimed_with_overwrite_alone(tmp_path, finished):
    folder = tmp_path / "out"
    with files.making(folder, "run"):
        (folder / "a.txt").touch()
        if finished:
            files.mark(folder, "run")
    with pytest.raises(SpeechbenchError, match=r"out: exists already; .* add --overwrite"):
        files.claim(folder, overwrite=False)
    assert (folder / "a.txt").exists()
    files.check_claim(folder, overwrite=True)
    assert folder.exists()
    files.claim(folder, overwrite=True)
    assert not folder.exists()


def test_what_the_user_made_is_never_claimed(tmp_path):
    folder, file = tmp_path / "mine", tmp_path / "mine.txt"
    folder.mkdir()
    (folder / "thesis.txt").write_text("x")
    file.write_text("x")
    for path in (folder, file):
        for overwrite, refuse in itertools.product((False, True), (files.claim, files.check_claim)):
            with pytest.raises(SpeechbenchError, match="left alone" if overwrite else "exists already"):
                refuse(path, overwrite)
    assert (folder / "thesis.txt").exists() and file.exists()


def test_an_output_file_stays_until_its_successor_is_whole(tmp_path):
    path = tmp_path / "a.jsonl"
    files.claim_file(path, overwrite=False)
    path.write_text("old")
    with pytest.raises(SpeechbenchError, match="exists already"):
        files.claim_file(path, overwrite=False)
    files.claim_file(path, overwrite=True)
    assert path.read_text() == "old"
    with pytest.raises(SpeechbenchError, match="is a folder; name a file"):
        files.claim_file(tmp_path, overwrite=True)


def test_an_output_that_holds_an_input_is_refused(tmp_path):
    data = tmp_path / "data" / "audio"
    data.mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for out in (tmp_path, tmp_path / "data", tmp_path / "link", data):
        with pytest.raises(SpeechbenchError, match="which is read to make it"):
            files.keep_inputs(out, [data])
    for out in (tmp_path / "other", data / "below", tmp_path / "data2"):
        files.keep_inputs(out, [data])


def test_a_folder_is_finished_only_when_it_is_marked_last(tmp_path):
    folder = tmp_path / "out"
    assert not files.is_finished(folder, "run")
    with files.making(folder, "run"):
        assert (folder / files.MARKER).is_file() and not files.is_finished(folder, "run")
    assert not files.is_finished(folder, "run")
    files.mark(folder, "run", utterances=3)
    assert files.is_finished(folder, "run") and not files.is_finished(folder, "synth")
    assert files.read_json(folder / files.MARKER)["utterances"] == 3


def test_a_marker_that_is_none_is_not_finished(tmp_path):
    (tmp_path / files.MARKER).write_text("[]")
    assert not files.is_finished(tmp_path, "run")


def test_a_fault_of_the_input_removes_the_folder_and_a_kill_leaves_it_unfinished(tmp_path):
    for error, keep, left in (
        (SpeechbenchError, False, False),
        (SpeechbenchError, True, True),
        (KeyboardInterrupt, False, True),
    ):
        folder = tmp_path / f"{error.__name__}-{keep}"
        with pytest.raises(error), files.making(folder, "run", keep):
            raise error
        assert folder.exists() == left and not files.is_finished(folder, "run")


def test_sha256_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # FIPS 180-4's own example
    assert files.sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
