import gzip
import json
import tarfile
from dataclasses import replace

import numpy as np
import pytest
from made_speech import contents, make_noise, make_speech, rows_of

from speechbench import audio, manifest
from speechbench.errors import SpeechbenchError
from synth import build, containers
from synth.recipe import CabinRanges, Recipe

NAMES = [container.name for container in containers.CONTAINERS]
SHARDED = ["tar", "shar"]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    small = tuple(replace(one, scenes=2) for one in containers.CONTAINERS)
    monkeypatch.setattr(containers, "CONTAINERS", small)


@pytest.fixture
def plan(tmp_path):
    speech = manifest.read(make_speech(tmp_path, [0.5, 1.0, 1.2, 0.7, 0.6]))
    return build.Plan(speech, [make_noise(tmp_path)], Recipe(cabin=CabinRanges(count=0), keep_clean=True))


def samples_of(folder):
    return {u.id: u.samples() for u in manifest.read(folder / "manifest.jsonl") if "clean_id" in u.extra}


@pytest.mark.parametrize("name", NAMES)
def test_every_container_holds_the_same_audio_and_is_read_through_the_manifest(plan, tmp_path, name):
    build.build(plan, tmp_path / "files")
    build.build(plan, tmp_path / name, container=name)
    ours, expected = samples_of(tmp_path / name), samples_of(tmp_path / "files")
    assert ours.keys() == expected.keys() and len(ours) == 5
    assert all(np.array_equal(ours[key], expected[key]) for key in ours)
    places = ("audio_filepath", "sha256")  # a WAV file has another sum
    rows = [rows_of(tmp_path / folder / "manifest.jsonl") for folder in (name, "files")]
    ours, expected = ([{key: row[key] for key in row if key not in places} for row in some] for some in rows)
    assert ours == expected


def test_workers_change_no_byte(plan, tmp_path):
    # FLAC files are compared in test_build.py, WAV and shar at random moments of a kill in test_resume.py.
    build.build(plan, tmp_path / "one", 1, container="tar")
    build.build(plan, tmp_path / "two", 2, container="tar")
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_wav_files_are_wav(plan, tmp_path):
    build.build(plan, tmp_path / "out", container="wav")
    assert (tmp_path / "out" / "audio" / "utt00-noisy1.wav").read_bytes()[:4] == b"RIFF"


def test_webdataset_shards_hold_pairs_of_audio_and_manifest_line(plan, tmp_path):
    build.build(plan, tmp_path / "out", container="tar")
    lines = {row["id"]: row for row in rows_of(tmp_path / "out" / "manifest.jsonl")}
    seen = []
    for path in sorted((tmp_path / "out" / "shards").iterdir()):
        with tarfile.open(path) as stream:
            members = stream.getmembers()
            assert {(one.mtime, one.uid, one.gid, one.uname, one.mode) for one in members} == {(0, 0, 0, "", 0o644)}
            for sound, text in zip(members[::2], members[1::2], strict=True):
                key, _, suffix = sound.name.partition(".")  # as WebDataset takes a name apart
                assert (suffix, text.name) == ("flac", f"{key}.json")
                row = json.loads(stream.extractfile(text).read())
                assert row == lines[row["id"]] and row["text"]
                seen.append((path.name, key))
    assert [name for name, _ in seen] == [f"shard-{n:06d}.tar" for n in (0, 0, 1, 1, 2)]
    assert [key for _, key in seen] == [f"utt{n:02d}-noisy1" for n in range(5)]


def test_ids_with_dots_have_keys_without_that_still_differ(plan, tmp_path):
    ids = ["a.b", "a_b", "a..b", "a%b", "né", "x" * 150]
    speech = replace(plan.speech, utterances=tuple(replace(plan.speech.utterances[0], id=name) for name in ids))
    for name in SHARDED:
        build.build(replace(plan, speech=speech), tmp_path / name, container=name)
        paths = [u.audio_filepath for u in manifest.read(tmp_path / name / "manifest.jsonl") if "clean_id" in u.extra]
        assert len(set(paths)) == 6 and len(samples_of(tmp_path / name)) == 6
        assert name == "shar" or all(path.stem.count(".") == 0 for path in paths)


def test_the_sums_of_shards_are_listed(plan, tmp_path):
    from speechbench.files import sha256

    for name, count in (("tar", 3), ("shar", 6)):
        build.build(plan, tmp_path / name, container=name)
        rows = rows_of(tmp_path / name / "shards.jsonl")
        assert len(rows) == count
        assert all(sha256(tmp_path / name / row["file"]) == row["sha256"] for row in rows)
    build.build(plan, tmp_path / "files")
    assert not (tmp_path / "files" / "shards.jsonl").exists()


def test_shar_is_gzip_and_tar_without_times(plan, tmp_path):
    build.build(plan, tmp_path / "out", container="shar")
    folder = tmp_path / "out" / "shar"
    assert {path.name.split(".")[0] for path in folder.iterdir()} == {"cuts", "recording"}
    data = (folder / "cuts.000000.jsonl.gz").read_bytes()
    assert data[3:8] == bytes(5)  # no name, no time: RFC 1952
    cut = json.loads(gzip.decompress(data).splitlines()[0])
    assert cut["supervisions"][0]["text"] == "word0" and cut["custom"]["snr_db"]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # lhotse's reader leaves them to the collector
def test_lhotse_reads_shar(plan, tmp_path):
    from speechbench import torch_audio  # noqa: F401 - lets lhotse import torchaudio

    lhotse = pytest.importorskip("lhotse", reason="lhotse is not installed: pip install 'speechbench[lhotse]'")
    build.build(plan, tmp_path / "out", container="shar")
    ours = manifest.read(tmp_path / "out" / "manifest.jsonl").by_id
    cuts = list(lhotse.CutSet.from_shar(in_dir=tmp_path / "out" / "shar"))
    assert [cut.id for cut in cuts] == [name for name in ours if "noisy" in name]
    for cut in cuts:
        utterance = ours[cut.id]
        assert np.array_equal(cut.load_audio()[0], utterance.samples())
        assert (cut.duration, cut.sampling_rate) == (utterance.duration, audio.SAMPLING_RATE)
        (spoken,) = cut.supervisions
        assert (spoken.text, spoken.speaker, spoken.duration) == (utterance.text, utterance.speaker, cut.duration)
        assert cut.custom["sha256"] == utterance.extra["sha256"] and cut.custom["noise"] == utterance.extra["noise"]


@pytest.mark.parametrize("name", SHARDED)
def test_what_cannot_be_rendered_is_left_out_of_its_shard_alone(plan, tmp_path, name):
    for number in (1, 2, 3):  # the second of the first shard, and all of the second
        plan.speech.utterances[number].audio_filepath.unlink()
    build.build(plan, tmp_path / "out", container=name)
    assert list(samples_of(tmp_path / "out")) == ["utt00-noisy1", "utt04-noisy1"]
    assert [row["id"] for row in rows_of(tmp_path / "out" / "skipped.jsonl")] == [f"utt{n:02d}-noisy1" for n in (1, 2, 3)]


def test_an_unknown_container_is_answered_with_the_known_ones(plan, tmp_path):
    with pytest.raises(SpeechbenchError, match=r"unknown container 'zip'.*flac, shar, tar, wav"):
        build.build(plan, tmp_path / "out", container="zip")
    assert not (tmp_path / "out").exists()
