import numpy as np
import pytest
import soundfile

from speechbench import audio, check
from speechbench.manifest import Manifest, Utterance

RATE = audio.SAMPLING_RATE


@pytest.fixture
def make(tmp_path):
    """Make an utterance with its own recording."""

    def make(key, seed=None, text="hello", speaker="x", suffix=".flac", duration=0.5, **extra):
        number = sum(map(ord, key)) if seed is None else seed
        path = tmp_path / f"{key}{suffix}"
        samples = np.random.default_rng(number).normal(0, 0.05, RATE // 2).astype(np.float32)
        audio.write(path, samples)
        return Utterance(key, path, duration, text=text, speaker=speaker, extra=extra)

    return make


def found(*parts):
    manifests = [Manifest(tuple(part)) for part in parts]
    return {finding.code: finding for finding in check.check(manifests)}


def test_nothing_is_found_in_a_clean_pair(make):
    assert found([make("a", text="one", speaker="x")], [make("b", text="two", speaker="y")]) == {}


def test_all_unreadable_files_are_named(make, tmp_path):
    good, empty, gone, broken = (make(key, text=key) for key in "abcd")
    empty.audio_filepath.write_bytes(b"")
    gone.audio_filepath.unlink()
    soundfile.write(tmp_path / "d.wav", np.full(RATE, np.nan, dtype=np.float32), RATE, subtype="FLOAT")
    broken = Utterance("d", tmp_path / "d.wav", 1.0, text="d", speaker="x")
    findings = check.check([Manifest((good, empty, gone, broken))])
    assert [(f.level, f.code, f.names) for f in findings] == [("error", "AUDIO_UNREADABLE", (key,)) for key in "bcd"]
    assert "no such file" in findings[1].message and "not finite" in findings[2].message


def test_faults_of_one_manifest_are_warnings(make):
    one, same = make("a", seed=1), make("b", seed=1, suffix=".wav")  # the same samples in another format
    short, mute = make("c", duration=0.3), make("d", text=None)
    findings = found([one, same, short, mute])
    assert {f.level for f in findings.values()} == {"warning", "info"}
    assert findings["DUPLICATE_AUDIO"].names == ("a = b",)
    assert findings["DURATION_WRONG"].names == ("c (0.30 s, file 0.50 s)",)
    assert findings["TEXT_MISSING"].names == ("d",)
    assert findings["DUPLICATE_TEXT"].count == 2


def test_segments_of_one_file_are_no_wrong_durations(make):
    whole = make("a")
    parts = [Utterance(f"a{n}", whole.audio_filepath, 0.25, offset=n * 0.25, text=f"part {n}", speaker="x") for n in range(2)]
    assert found(parts) == {}


def test_a_noise_manifest_needs_no_text_and_no_speaker(make):
    assert found([make("a", text=None, speaker=None, source="s1"), make("b", text=None, speaker=None, source="s2")]) == {}


def test_shared_speakers_and_sentences(make):
    findings = found([make("a")], [make("b")], [make("c", speaker="y", text="other")])
    assert (findings["LEAK_SPEAKER"].level, findings["LEAK_SPEAKER"].names) == ("error", ("x",))
    assert (findings["SAME_TEXT"].level, findings["SAME_TEXT"].names) == ("info", ("hello",))


def test_shared_audio_under_the_same_and_under_another_name(make):
    one = make("a", seed=1)
    again = Utterance("again", one.audio_filepath, 0.5, text="two", speaker="y")
    assert found([one], [again])["LEAK_AUDIO"].names == (str(one.audio_filepath),)
    copy = make("copy", seed=1, text="two", speaker="y", suffix=".wav")
    assert found([one], [copy])["LEAK_CONTENT"].names == ("a = copy",)


def test_synthesised_utterances_leak_by_what_they_were_made_of(make):
    train = make("a", clean_id="c1", clean_filepath="/c1.wav", noise=[{"id": "n", "source": "car-1"}])
    dev = make("b", text="two", speaker="y", clean_id="c1", clean_filepath="/c1.wav", noise=[{"source": "car-2"}])
    test = make("c", text="three", speaker="z", clean_id="c2", noise=[{"source": "car-1"}, {"source": "car-3"}])
    findings = check.check([Manifest((train,)), Manifest((dev,)), Manifest((test,))])
    assert {(f.code, f.names) for f in findings} == {("LEAK_CLEAN", ("/c1.wav", "c1")), ("LEAK_NOISE", ("car-1",))}


def test_noise_manifests_leak_by_source(make):
    one, two = make("a", text=None, speaker=None, source="car-1"), make("b", text=None, speaker=None, source="car-1")
    assert found([one], [two])["LEAK_NOISE"].names == ("car-1",)


def test_speakers_that_are_not_known_are_told(make):
    assert found([make("a", speaker=None)])["SPEAKER_UNKNOWN"].level == "info"


def test_two_workers_find_the_same(make):
    manifests = [Manifest((make("a"), make("b", seed=1))), Manifest((make("c", seed=1),))]
    assert check.check(manifests, 1) == check.check(manifests, 2)
