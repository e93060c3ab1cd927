"""The pipeline's training speech: what lies under synthesised noise, and what sounds the same without it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipelines.phoneme.corpus import clean_twin, load, plain_energies
from pipelines.phoneme.heard import energies
from speechbench import audio
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Skipped, Utterance

LEXICON = {"hum": [("HH", "AH", "M")], "hiss": [("HH", "IH", "S")]}


def utterance(folder, name, samples, text, **more):
    audio.write(folder / f"{name}.flac", samples.astype(np.float32))
    return Utterance(name, folder / f"{name}.flac", len(samples) / audio.SAMPLING_RATE, text=text, speaker="s", **more)


def loaded(rows, folder, speeds=()):
    folder.mkdir(exist_ok=True)
    whole = Manifest(tuple(rows), folder / "manifest.jsonl")
    return load(folder / "features", whole, LEXICON, 3, speeds, Skipped())


@pytest.fixture
def said(tmp_path):
    """Two utterances, the first also under two noises."""
    rng = np.random.default_rng(0)
    hum, hiss = rng.normal(0, 0.1, (2, 8000))
    clean = [utterance(tmp_path, "hum", hum, "hum"), utterance(tmp_path, "hiss", hiss, "hiss")]
    facts = {"clean_filepath": "../hum.flac", "clean_offset": 0.0}
    noisy = [utterance(tmp_path, f"noisy{n}", hum + rng.normal(0, 0.1, 8000), "hum", extra=facts) for n in range(2)]
    return [noisy[0], clean[1], noisy[1], clean[0]]


def test_speech_that_several_share_is_there_once(said, tmp_path):
    corpus = loaded(said, tmp_path / "car", speeds=[1.1])
    assert [one.id for one in corpus.spoken] == ["noisy0", "hiss", "noisy1", "hum"]
    assert [one.words for one in corpus.said] == [["hum"], ["hiss"]]
    assert len(corpus.plain) == 2 and len(corpus.heard) == len(corpus.at_speeds[0]) == 4
    torch.testing.assert_close(corpus.plain[0].mel, energies(said[3].samples()))
    torch.testing.assert_close(corpus.heard[2].mel, energies(said[2].samples()))
    frames = len(corpus.plain[0].mel)
    paths = corpus.as_heard(np.repeat([7, 8], frames))
    assert [path.tolist() for path in paths] == [[number] * frames for number in (7, 8, 7, 7)]


def test_the_same_audio_under_another_text_or_speaker_is_something_else(said, tmp_path):
    other = replace(said[3], id="other", text="hiss")
    whose = replace(said[3], id="whose", speaker="t")
    assert [one.plain for one in loaded([*said, other, whose], tmp_path / "car").spoken] == [0, 1, 0, 0, 2, 3]


def test_without_noise_each_is_heard_as_it_is(said, tmp_path):
    corpus = loaded([said[1], said[3], replace(said[3], id="again")], tmp_path / "clean")
    assert corpus.plain is corpus.heard and [one.plain for one in corpus.spoken] == [0, 1, 2]
    assert not (tmp_path / "clean" / "features" / "plain.f32").exists()


def test_a_twin_of_another_length_is_refused(said, tmp_path):
    longer = utterance(tmp_path, "longer", np.zeros(8400), "hum", extra=said[0].extra)
    with pytest.raises(SpeechbenchError, match="longer: 53 frames, but its clean twin has 51; synthesise it again"):
        loaded([said[0], longer], tmp_path / "car")


def test_the_clean_twin_is_found_beside_the_manifest(tmp_path, capsys):
    clean = np.linspace(-0.5, 0.5, 16000, dtype=np.float32)
    audio.write(tmp_path / "clean.flac", clean)
    facts = {"clean_filepath": "../clean.flac", "clean_offset": 0.25}
    noisy = Utterance("noisy", tmp_path / "car" / "noisy.flac", 0.5, extra=facts)
    whole = Manifest((noisy,), tmp_path / "car" / "manifest.jsonl")
    twin, heard = clean_twin(noisy, whole), torch.zeros(51, 40)
    np.testing.assert_allclose(twin.samples(), clean[4000:12000], atol=1e-4)
    torch.testing.assert_close(plain_energies(twin, heard), energies(twin.samples()))
    assert clean_twin(replace(noisy, extra={}), whole) is None
    assert capsys.readouterr().err == ""
    gone = clean_twin(replace(noisy, extra={"clean_filepath": "gone.flac"}), whole)
    assert plain_energies(gone, heard) is heard
    assert "noisy: taken as it sounds" in capsys.readouterr().err
