"""Training with further tasks: labels from manifests, the lexicon and scenes, and what is kept of the heads."""

import shutil
from dataclasses import replace

import pytest
import torch
from made_speech import make_noise
from test_e2e_resume import made_of, train_until_killed
from toy_language import make_corpus, run, train

from pipelines import tensors
from pipelines.ctc.step import Stepper
from pipelines.e2e.config import HeadsConfig
from pipelines.e2e.labels import Classes, Labeller
from speechbench import manifest
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Utterance
from speechbench.recognizer import read_hypotheses
from speechbench.run import Run

ALL = tuple(f"heads.{name}=0.3" for name in ("phonemes", "speaker", "condition", "snr"))
BRIEF = ("training.epochs=2", "training.look_every=1", "training.batch_seconds=4", "training.checkpoint_seconds=0")


def labelled(path):
    """Speakers and noise for the utterances of a manifest; each fifth has neither."""
    rows = []
    for number, row in enumerate(manifest.read(path)):
        noise = [{"id": "n", "condition": name} for name in (["city"], ["rain", "city"], ["rain"], [])[number % 4]]
        facts = {} if number % 5 == 4 else {"noise": noise, "snr_db": 5.0 * (number % 3)}
        rows.append(replace(row, speaker=f"speaker-{number % 2}" if number % 5 < 4 else None, extra=facts))
    Manifest(tuple(rows)).write(path)
    return path


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    each = [("train", 20, 0), ("dev", 6, 1)]
    return tuple(labelled(make_corpus(folder, name, count, "characters", seed)) for name, count, seed in each)


@pytest.fixture(scope="module")
def trained(sets, tmp_path_factory):
    return train("e2e", *sets, tmp_path_factory.mktemp("run") / "run", *BRIEF, *ALL)


def test_each_heads_figure_of_dev_is_logged(trained):
    looks = [row for row in Run(trained).metrics() if row["stage"] == "network"]
    names = {"dev_phonemes_per", "dev_speaker_accuracy", "dev_condition_accuracy", "dev_snr_mae_db"}
    assert len(looks) == 2
    for row in looks:
        assert row.keys() >= names and all(row[name] >= 0 for name in names)
        assert row["dev_speaker_accuracy"] <= 1 and row["dev_condition_accuracy"] <= 1
    assert Run(trained).dev_looks() == 2 + 8


def test_decoding_needs_no_heads_and_they_are_kept_beside(trained, sets, tmp_path):
    state, _ = tensors.load(trained / "network.safetensors")
    heads, facts = tensors.load(trained / "heads.safetensors")
    assert not any(name.startswith("heads.") for name in state)
    assert {name.partition(".")[0] for name in heads} == {"phonemes", "speaker", "condition", "snr"}
    classes = Classes.of_facts(facts)
    assert classes.speakers == ("speaker-0", "speaker-1") and classes.conditions == ("city", "rain")
    assert "Z" in classes.phonemes and len(heads["phonemes.output.bias"]) == len(classes.phonemes) + 1
    shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "run" / "heads.safetensors").unlink()
    run("decode", tmp_path / "run", "--data", sets[1], "--out", tmp_path / "dev.jsonl", "--greedy")
    assert len(read_hypotheses(tmp_path / "dev.jsonl")) == 6


@pytest.mark.slow
def test_heads_pull_at_the_encoder_and_change_no_first_weights(trained, sets, tmp_path):
    still = ("training.epochs=1", "training.learning_rate=1e-8", "training.weight_decay=0")
    without = train("e2e", *sets, tmp_path / "without", *BRIEF, *still)
    beside = train("e2e", *sets, tmp_path / "with", *BRIEF, *still, *ALL)
    plain, same = (tensors.load(path / "network.safetensors")[0] for path in (without, beside))
    torch.testing.assert_close(plain["output.weight"], same["output.weight"], atol=1e-6, rtol=0)
    learnt = train("e2e", *sets, tmp_path / "learnt", *BRIEF)
    other, pulled = (tensors.load(path / "network.safetensors")[0]["layers.0.norm.weight"] for path in (learnt, trained))
    assert not torch.allclose(other, pulled, atol=1e-4)


def test_killed_and_resumed_with_heads(trained, sets, tmp_path):
    out = tmp_path / "run"
    assert train_until_killed(Stepper, "step", 7, sets, out, *BRIEF, *ALL)
    train("e2e", *sets, out, *BRIEF, *ALL, "--resume")
    assert made_of(out) == made_of(trained)


def test_heads_that_tell_the_same_are_copied(trained, sets, tmp_path):
    rows = [replace(row, speaker="someone") for row in manifest.read(sets[0])]
    Manifest(tuple(rows)).write(tmp_path / "train.jsonl")
    still = ("training.epochs=1", "training.learning_rate=1e-8", "training.weight_decay=0", f"--init-from={trained}")
    made = train("e2e", tmp_path / "train.jsonl", sets[1], tmp_path / "run", *BRIEF, *still, *ALL)
    (row,) = [row for row in Run(made).metrics() if row["stage"] == "transfer"]
    assert row["heads_copied"] == ["condition", "phonemes", "snr"] and row["heads_new"] == ["speaker"]
    old, new = (tensors.load(path / "heads.safetensors")[0] for path in (trained, made))
    torch.testing.assert_close(new["snr.output.weight"], old["snr.output.weight"], atol=1e-6, rtol=0)
    assert new["speaker.output.bias"].shape == (1,)


def test_noise_on_the_fly_labels_itself(sets, tmp_path):
    """Conditions and SNR are of the scene that was drawn, not of the manifest."""
    flags = (f"--noise={make_noise(tmp_path)}", "--recipe=plain")
    heads = ("heads.condition=0.3", "heads.snr=0.3", "heads.speaker=0.3")
    made = train("e2e", *sets, tmp_path / "run", *BRIEF, *heads, *flags)
    classes = Classes.of_facts(tensors.load(made / "heads.safetensors")[1])
    known = {row.get("condition") for row in manifest.read(tmp_path / "noise.jsonl")} - {None}
    assert set(classes.conditions) <= known and classes.conditions
    assert classes.speakers == ("speaker-0", "speaker-1")
    assert classes.snr_spread_db > 0 and classes.snr_mean_db != pytest.approx(5.0)


def utterance(text, **facts):
    speaker = facts.pop("speaker", None)
    return Utterance("a", "a.flac", 1.0, text=text, speaker=speaker, extra=facts)


def labeller(*rows, config=None):
    data = Manifest(tuple(replace(row, id=f"id-{number}") for number, row in enumerate(rows)))
    return Labeller.of(config or HeadsConfig(1.0, 1.0, 1.0, 1.0), data, data, None)


CITY = {"noise": [{"condition": "city"}, {"condition": "horn"}], "snr_db": 4.0}


def test_what_is_not_known_is_no_label():
    made = labeller(utterance("cat dog", speaker="x", **CITY), utterance("cat", speaker="y", noise=[], snr_db=10))
    assert made.classes.conditions == ("city", "horn") and made.classes.snr_mean_db == 7.0
    whole = made.of_utterance(utterance("cat", speaker="y", **CITY), 100)
    assert whole["phonemes"].tolist() == [1 + made.classes.phonemes.index(unit) for unit in ("K", "AE", "T")]
    assert whole["speaker"] == 1 and whole["condition"].tolist() == [1.0, 1.0] and whole["snr"] == 4.0
    assert made.of_utterance(utterance("cat xyzzyx", speaker="stranger", noise="loud"), 100) == {}
    assert made.of_utterance(utterance("zebra"), 100) == {}  # training has none of its first phoneme
    assert made.of_utterance(utterance("", noise=[]), 100)["condition"].tolist() == [0.0, 0.0]  # known: none
    assert "phonemes" not in made.of_utterance(utterance("cat dog"), 12)  # three steps for six phonemes


def test_heads_that_are_off_give_no_labels():
    made = labeller(utterance("cat", speaker="x", **CITY), config=HeadsConfig(snr=1.0))
    assert made.of_utterance(utterance("cat", speaker="x", **CITY), 100).keys() == {"snr"}
    assert made.heads(8).keys() == {"snr"}


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("phonemes", "a text that the lexicon can pronounce"),
        ("speaker", "a 'speaker'"),
        ("condition", "a 'condition' in its 'noise'"),
        ("snr", "an 'snr_db'"),
    ],
)
def test_a_head_without_any_label_is_an_error(name, told):
    with pytest.raises(SpeechbenchError, match=rf"no utterance has {told}, which heads\.{name} needs; set it to 0"):
        labeller(utterance("xyzzyx"), config=HeadsConfig(**{name: 1.0}))


def test_words_of_a_lexicon_of_ones_own(tmp_path):
    (tmp_path / "lexicon.txt").write_text("xyzzyx Z IH\n")
    made = labeller(utterance("xyzzyx"), config=HeadsConfig(phonemes=1.0, lexicon=tmp_path / "lexicon.txt"))
    assert made.classes.phonemes == ("IH", "Z")
