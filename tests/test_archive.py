import os
import tarfile

import numpy as np
import pytest

from speechbench import archive, audio
from speechbench.errors import AudioError

NOISE = np.random.default_rng(0).uniform(-0.5, 0.5, 16_000).astype(np.float32)


@pytest.fixture
def shard(tmp_path):
    """A tar file with two recordings and their JSON, as another tool would write it."""
    for name, samples in (("a", NOISE), ("b", NOISE[::-1])):
        audio.write(tmp_path / f"{name}.flac", samples)
        (tmp_path / f"{name}.json").write_text("{}")
    with tarfile.open(tmp_path / "shard.tar", "w") as stream:
        for name in ("a.flac", "a.json", "b.flac", "b.json"):
            stream.add(tmp_path / name, name)
            (tmp_path / name).rename(tmp_path / f"outside-{name}")
    return tmp_path / "shard.tar"


def test_a_path_into_a_tar_file_is_read_as_the_file_would_be(shard):
    for name in ("a.flac", "b.flac"):
        outside = shard.parent / f"outside-{name}"
        assert archive.read(shard / name) == outside.read_bytes()
        assert audio.inspect(shard / name) == audio.inspect(outside)
        assert np.array_equal(audio.read(shard / name, 0.25, 0.5), audio.read(outside, 0.25, 0.5))


def test_a_folder_that_is_named_like_a_tar_file_is_a_folder(tmp_path):
    audio.write(tmp_path / "x.tar" / "a.flac", NOISE)
    assert audio.read(tmp_path / "x.tar" / "a.flac").size == 16_000


def test_a_tar_file_that_was_written_anew_is_read_anew(shard):
    audio.read(shard / "a.flac")
    with tarfile.open(shard, "w") as stream:
        stream.add(shard.parent / "outside-b.flac", "a.flac")
    os.utime(shard, ns=(1, 1))
    assert archive.read(shard / "a.flac") == (shard.parent / "outside-b.flac").read_bytes()


def test_faults_are_named(shard, tmp_path):
    with pytest.raises(AudioError, match=r"shard.tar/c.flac: no such file"):
        audio.read(shard / "c.flac")
    with pytest.raises(AudioError, match=r"none.tar/a.flac: no such file"):
        audio.read(tmp_path / "none.tar" / "a.flac")
    (tmp_path / "text.tar").write_text("no tar file at all" * 100)
    with pytest.raises(AudioError, match=r"text.tar/a.flac: cannot be read as audio .*is no tar file"):
        audio.inspect(tmp_path / "text.tar" / "a.flac")
    size = shard.stat().st_size
    with shard.open("r+b") as stream:
        stream.seek(600)
        stream.write(bytes(2000))
    assert shard.stat().st_size == size
    with pytest.raises(AudioError, match=r"a.flac: cannot be read as audio"):
        audio.read(shard / "a.flac")
    with shard.open("r+b") as stream:
        stream.truncate(4000)
    with pytest.raises(AudioError, match=r"a.flac: cannot be read as audio"):
        audio.read(shard / "a.flac")
