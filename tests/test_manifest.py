import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechbench import audio, manifest
from speechbench.errors import AudioError, SpeechbenchError
from speechbench.manifest import KNOWN_KEYS, Manifest, Skipped, Utterance, usable

TEXT = st.text(min_size=1).filter(str.strip)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
UTTERANCES = st.builds(
    Utterance,
    id=TEXT,
    audio_filepath=st.sampled_from([Path("/data/a b.wav"), Path("/data/sub/ü.flac"), Path("/elsewhere/c.wav")]),
    duration=st.integers(1, 10**9).map(lambda n: n / 10**6),
    offset=st.integers(0, 10**6).map(lambda n: n / 10**3),
    sampling_rate=st.none() | st.integers(8_000, 96_000),
    text=st.none() | TEXT,
    speaker=st.none() | TEXT,
    split=st.none() | TEXT,
    extra=st.dictionaries(st.text().filter(lambda key: key not in KNOWN_KEYS), JSON, max_size=3),
)


@pytest.fixture
def write(tmp_path):
    """Write lines, given as text or as rows, as a manifest."""

    def write(*lines, name="m.jsonl"):
        path = tmp_path / name
        path.write_text("".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines))
        return path

    return write


def row(**keys):
    return {"audio_filepath": "a.wav", "duration": 1.0} | keys


def numbered(count):
    return Manifest(tuple(Utterance(f"u{n}", Path(f"/u{n}.wav"), 1.0, text=f"word {n}") for n in range(count)))


@given(st.lists(UTTERANCES, min_size=1, max_size=4, unique_by=lambda utterance: utterance.id))
def test_a_manifest_survives_its_file(tmp_path_factory, utterances):
    path = tmp_path_factory.mktemp("round") / "trip" / "m.jsonl"
    Manifest(tuple(utterances)).write(path)
    assert manifest.read(path).utterances == tuple(utterances)


@pytest.mark.parametrize("sign", ["\u2028", "\u0085", "\x0b", "\x1e"])
def test_signs_that_python_takes_for_line_ends_stay_in_the_text(tmp_path, sign):
    utterance = Utterance("a", Path("/a.wav"), 1.0, text=f"one{sign}two")
    Manifest((utterance,)).write(tmp_path / "m.jsonl")
    assert manifest.read(tmp_path / "m.jsonl").utterances == (utterance,)


def test_paths_are_relative_to_the_manifest_so_that_a_folder_can_move(tmp_path):
    utterance = Utterance("a", tmp_path / "old" / "audio" / "a.wav", 1.0)
    Manifest((utterance,)).write(tmp_path / "old" / "m.jsonl")
    assert json.loads((tmp_path / "old" / "m.jsonl").read_text())["audio_filepath"] == "audio/a.wav"
    (tmp_path / "old").rename(tmp_path / "new")
    assert manifest.read(tmp_path / "new" / "m.jsonl").utterances[0].audio_filepath == tmp_path / "new/audio/a.wav"


def test_what_is_not_known_is_a_missing_key(tmp_path):
    Manifest((Utterance("a", tmp_path / "a.wav", 1.0),)).write(tmp_path / "m.jsonl")
    assert json.loads((tmp_path / "m.jsonl").read_text()) == {"id": "a", "audio_filepath": "a.wav", "duration": 1.0}


def test_nemo_manifests_work_as_they_are(write):
    path = write(row(text="", audio_filepath="x/one.wav"), "", row(audio_filepath="two.wav", offset=2.5, lang="en"))
    one, two = manifest.read(path)
    assert (one.id, one.text, two.id, two.offset, two.extra) == ("one", None, "two-2.500", 2.5, {"lang": "en"})
    assert one.audio_filepath == path.parent / "x/one.wav"
    assert (two.get("lang"), two.get("duration"), two.get("nothing")) == ("en", 1.0, None)


def test_all_bad_lines_are_told_with_their_numbers(write):
    path = write(
        row(id="fine"), "{", "[1]", row(duration=0), row(duration=True), row(duration="1"), row(offset=-1), row(text=5),
        row(id=None), {"duration": 1.0}, row(audio_filepath=""), '{"audio_filepath": "a.wav", "duration": NaN}',
        '{"audio_filepath": "a.wav", "duration": 1.0, "snr": Infinity}', row(text="\ud800"),
    )  # fmt: skip
    with pytest.raises(SpeechbenchError) as error:
        manifest.read(path)
    message = str(error.value)
    assert message.startswith(f"{path}: 13 bad lines: line 2: not JSON")
    assert [f"line {n}:" in message for n in range(1, 15)] == [False] + [True] * 13
    assert "'duration' is 0; expected seconds above 0" in message and "Infinity is no number" in message


def test_very_many_bad_lines_are_cut_short(write):
    with pytest.raises(SpeechbenchError) as error:
        manifest.read(write(*["{"] * 50))
    assert "50 bad lines" in str(error.value) and str(error.value).count("line ") == 20


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ((), "holds no utterance"),
        (("", "  "), "holds no utterance"),
        ((row(id="a"), row(id="b"), row(id="a"), row(id="a")), "2 ids occur twice: a, a; ids must be unique"),
        ((row(audio_filepath="x/a.wav"), row(audio_filepath="y/a.wav")), "1 ids occur twice: a"),
    ],
)
def test_empty_manifests_and_double_ids_are_errors(write, lines, message):
    with pytest.raises(SpeechbenchError, match=message):
        manifest.read(write(*lines))


def test_missing_files_and_other_encodings_are_named(tmp_path):
    with pytest.raises(SpeechbenchError, match=r"none.jsonl: no such file"):
        manifest.read(tmp_path / "none.jsonl")
    (tmp_path / "latin.jsonl").write_bytes('{"text": "né"}'.encode("latin-1"))
    for path in (tmp_path / "latin.jsonl", tmp_path):
        with pytest.raises(SpeechbenchError, match="cannot be read as UTF-8 text"):
            manifest.read(path)


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100])
def test_segments_are_read_exactly(tmp_path, rate):
    # Each segment of 0.25 s has its own level, so that a wrong offset, length or rate would show.
    levels = np.arange(1, 9, dtype=np.float32) / 10
    audio.write(tmp_path / "long.wav", np.repeat(levels, rate // 4), rate)
    for number, level in enumerate(levels):
        samples = Utterance("a", tmp_path / "long.wav", 0.25, offset=number * 0.25).samples()
        assert samples.shape == (4_000,)
        assert samples[500:-500] == pytest.approx(level, abs=1e-3 if rate == 16_000 else 0.02)


def test_a_segment_beyond_the_end_is_bad_audio(tmp_path):
    audio.write(tmp_path / "a.wav", np.zeros(16_000, np.float32))
    assert Utterance("a", tmp_path / "a.wav", 1.04).samples().size == 16_000  # rounded up by another tool
    with pytest.raises(AudioError, match=r"ends 1.00 s early"):
        Utterance("a", tmp_path / "a.wav", 2.0).samples()
    with pytest.raises(AudioError, match=r"no samples at 5.000 s"):
        Utterance("a", tmp_path / "a.wav", 1.0, offset=5.0).samples()


def test_with_text_names_those_without():
    whole = numbered(3)
    assert whole.with_text() is whole
    bare = Manifest((*whole, Utterance("mute", Path("/m.wav"), 1.0), Utterance("blank", Path("/b.wav"), 1.0, text=" ")))
    with pytest.raises(SpeechbenchError, match="2 of 5 utterances have no text: mute, blank; add 'text' or remove them"):
        bare.with_text()


def test_where_selects_by_any_key():
    whole = Manifest(tuple(Utterance(f"u{n}", Path("/u.wav"), 1.0, speaker="ab"[n % 2], extra={"grade": n}) for n in range(4)))
    assert [u.id for u in whole.where("speaker=a")] == ["u0", "u2"]
    assert [u.id for u in whole.where("grade=3")] == ["u3"]
    for condition, message in (("speaker", "expected key=value"), ("speaker=z", "no utterance has speaker=z")):
        with pytest.raises(SpeechbenchError, match=message):
            whole.where(condition)


def test_a_sample_keeps_the_order_and_depends_on_the_seed():
    whole = numbered(100)
    ids = [[u.id for u in whole.sample(10, seed)] for seed in (0, 0, 1)]
    assert ids[0] == ids[1] != ids[2]
    assert ids[0] == sorted(ids[0], key=lambda key: int(key[1:])) and len(set(ids[0])) == 10
    assert whole.sample(100, 0) is whole


def test_the_digest_is_of_the_utterances_and_not_of_the_place(tmp_path):
    def digest_at(folder, **changes):
        Manifest((Utterance(**({"id": "a", "audio_filepath": folder / "a.wav", "duration": 1.0} | changes)),)).write(
            folder / "m.jsonl"
        )
        return manifest.read(folder / "m.jsonl").digest()

    here = digest_at(tmp_path / "here")
    assert here == digest_at(tmp_path / "there")
    assert (
        len({here, *(digest_at(tmp_path, **c) for c in ({"text": "x"}, {"offset": 0.5}, {"duration": 2.0}, {"id": "b"}))}) == 5
    )


def test_the_digest_tells_other_audio_of_the_same_name(tmp_path):
    digests = []
    for noise in (b"city", b"rain"):
        (tmp_path / "a.wav").write_bytes(noise)
        digests.append(Manifest((Utterance("a", tmp_path / "a.wav", 1.0),)).digest())
    assert digests[0] != digests[1]


def test_skipped_utterances_are_said_listed_and_counted(tmp_path, capsys):
    skipped = Skipped()
    items = [("a", 1), ("b", AudioError("b.wav: no such file")), ("c", 3)]
    assert list(usable(items, skipped)) == [("a", 1), ("c", 3)]
    skipped.close(3, tmp_path / "skipped.jsonl")
    assert json.loads((tmp_path / "skipped.jsonl").read_text()) == {"id": "b", "reason": "b.wav: no such file"}
    assert capsys.readouterr().err.splitlines() == [
        "skipped b: b.wav: no such file",
        f"1 of 3 utterances were skipped, listed in {tmp_path / 'skipped.jsonl'}",
    ]


def test_skipping_all_is_an_error_and_an_old_list_goes(tmp_path):
    (tmp_path / "skipped.jsonl").write_text("of an earlier output\n")
    Skipped().close(3, tmp_path / "skipped.jsonl")
    assert not (tmp_path / "skipped.jsonl").exists()
    skipped = Skipped({"a": "a.wav: no such file"})
    with pytest.raises(SpeechbenchError, match=r"none of the 1 utterances can be used; the first: a.wav"):
        skipped.close(1, tmp_path / "skipped.jsonl")
    assert not (tmp_path / "skipped.jsonl").exists()
