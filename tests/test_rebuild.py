"""Shards made again; single files are in test_build.py."""

from dataclasses import replace

import numpy as np
import pytest
from made_speech import contents, make_noise, make_speech

from speechbench import audio, manifest
from synth import build, containers, rebuild
from synth.recipe import CabinRanges, Recipe


@pytest.fixture(params=["tar", "shar"])
def built(request, tmp_path, monkeypatch):
    """A folder of three shards of two scenes, of which the second utterance could not be rendered."""
    monkeypatch.setattr(containers, "CONTAINERS", tuple(replace(one, scenes=2) for one in containers.CONTAINERS))
    speech = manifest.read(make_speech(tmp_path, [0.3, 0.4, 0.5, 0.3, 0.4, 0.3]))
    speech.utterances[1].audio_filepath.unlink()
    plan = build.Plan(speech, [make_noise(tmp_path)], Recipe(cabin=CabinRanges(count=0), keep_clean=True))
    build.build(plan, tmp_path / "out", container=request.param)
    return tmp_path / "out"


def states(folder, *ids):
    return [row["state"] for row in rebuild.rebuild(folder, ids)]


def shards(folder):
    return sorted(folder.rglob("*.tar"))


def test_a_lost_and_a_damaged_shard_come_back_byte_for_byte(built):
    before = contents(built)
    first, second, _ = shards(built)
    first.unlink()
    second.write_bytes(second.read_bytes().replace(b"word2", b"wOrd2").replace(b'"duration"', b'"Duration"'))
    assert contents(built) != before
    assert states(built) == ["rebuilt"] * 3 + ["verified"] * 2
    assert contents(built) == before


def test_one_utterance_brings_back_its_shard_and_no_other(built):
    before = contents(built)
    for path in shards(built):
        path.unlink()
    assert states(built, "utt03-noisy1") == ["rebuilt"]
    (back,) = shards(built)
    assert contents(built)[str(back.relative_to(built))] == before[str(back.relative_to(built))]


def test_members_that_are_whole_need_no_source(built):
    before = contents(built)
    _, second, _ = shards(built)
    second.write_bytes(second.read_bytes() + bytes(10_240))  # members are whole, the file is not
    (built.parent / "speech" / "utt02.flac").unlink()
    assert states(built, "utt02-noisy1", "utt03-noisy1") == ["rebuilt"] * 2
    assert contents(built) == before


def test_a_shard_whose_speech_has_changed_is_left_as_it_is(built):
    _, second, _ = shards(built)
    second.unlink()
    changed = np.random.default_rng(9).normal(0, 0.1, 8_000).clip(-1, 1).astype(np.float32)
    audio.write(built.parent / "speech" / "utt02.flac", changed)
    rows = rebuild.rebuild(built, ["utt03-noisy1"])
    assert [row["state"] for row in rows] == ["failed"]
    assert "shard 1 cannot be made again" in rows[0]["reason"] and "other bytes" in rows[0]["reason"]
    assert not second.exists() and not list(built.glob(".rebuild-*"))
