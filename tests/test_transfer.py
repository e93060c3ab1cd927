"""A training that starts from another run's network: what is copied, left and new, and what stays frozen."""

import json
import shutil
from dataclasses import replace

import click
import pytest
import torch
from test_e2e_resume import made_of, train_until_killed
from toy_language import SMALL, make_corpus, run, train

from pipelines import tensors
from pipelines.ctc.config import AugmentConfig, EncoderConfig, TrainingConfig
from pipelines.ctc.heads import SnrHead
from pipelines.ctc.items import Batch, Item
from pipelines.ctc.network import Network
from pipelines.ctc.step import Stepper
from speechbench import manifest
from speechbench.errors import SpeechbenchError
from speechbench.files import sha256
from speechbench.manifest import Manifest
from speechbench.run import Run

BRIEF = ("training.epochs=1", "training.batch_seconds=4")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return make_corpus(folder, "train", 12, "characters"), make_corpus(folder, "dev", 3, "characters", seed=1)


@pytest.fixture(scope="module")
def first(sets, tmp_path_factory):
    return train("e2e", *sets, tmp_path_factory.mktemp("first") / "run", *BRIEF)


@pytest.fixture(scope="module")
def others(sets, tmp_path_factory):
    """The same speech with "quay" for "cat": two letters are new."""
    out = tmp_path_factory.mktemp("odd") / "train.jsonl"
    rows = [replace(row, text=row.text.replace("cat", "quay")) for row in manifest.read(sets[0])]
    Manifest(tuple(rows)).write(out)
    return out


def network_of(path):
    return tensors.load(path / "network.safetensors")[0]


def units_of(path):
    return json.loads((path / "units.json").read_text())


def transfer_row(path):
    (row,) = [row for row in Run(path).metrics() if row["stage"] == "transfer"]
    return row


def test_letters_of_both_alphabets_keep_their_weights(first, others, sets, tmp_path, capfd):
    """With a rate of next to nothing the weights are still those that training began with."""
    still = ("training.learning_rate=1e-8", "training.weight_decay=0")
    made = train("e2e", others, sets[1], tmp_path / "run", *BRIEF, *still, f"--init-from={first}")
    row, old, new = transfer_row(made), network_of(first), network_of(made)
    before, after = units_of(first), units_of(made)
    assert row["tokens_new"] == ["q", "u"] and row["tokens_left"] == ["c", "t"]
    assert row["tokens_copied"] == [unit for unit in after if unit in before]
    for name in ("output.weight", "output.bias"):
        torch.testing.assert_close(new[name][0], old[name][0], atol=1e-6, rtol=0)
        for unit in row["tokens_copied"]:
            torch.testing.assert_close(new[name][1 + after.index(unit)], old[name][1 + before.index(unit)], atol=1e-6, rtol=0)
    columns = old["output.weight"].shape[1] + 1
    assert row["parameters_new"] == 2 * columns
    assert row["parameters_copied"] + row["parameters_new"] == row["parameters_trained"]
    said = capfd.readouterr().err
    assert f"starts from {first}: {row['parameters_copied']:,} parameters are copied, {2 * columns} are new" in said
    assert "2 tokens are new: 'q', 'u'; 18 keep their weights" in said and "2 tokens are left: 'c', 't'" in said


def test_a_frozen_encoder_stays_bit_by_bit_and_the_rest_is_trained(first, others, sets, tmp_path):
    made = train("e2e", others, sets[1], tmp_path / "run", *BRIEF, f"--init-from={first}", "--freeze=encoder")
    old, new = network_of(first), network_of(made)
    for name, value in old.items():
        if name.startswith(("convolutions.", "layers.")):  # batch norm's running averages too
            assert torch.equal(new[name], value), name
    row = transfer_row(made)
    assert row["layers_frozen"] == 3
    assert row["parameters_trained"] == new["output.weight"].numel() + new["output.bias"].numel()


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_so_many_layers_from_below_stay(count):
    torch.manual_seed(0)
    network = Network(4, EncoderConfig(bands=6, channels=8, recurrent=8, layers=1, dropout=0.5))
    network.freeze(count)
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0)
    scores, _ = network(torch.randn(2, 40, 6), torch.tensor([40, 32]))
    scores[..., 0].sum().backward()
    optimizer.step()
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    kept = ("convolutions.layers.0", "convolutions.norms.0"), ("convolutions.layers.1", "convolutions.norms.1"), ("layers.0",)
    for number, prefixes in enumerate(kept, start=1):
        is_changed = any(name.startswith(prefixes) for name in changed)
        assert is_changed == (number > count), (number, changed)
    assert {name for name in changed if name.startswith("output")} == {"output.weight", "output.bias"}


def test_where_all_is_frozen_training_hears_as_use_does():
    torch.manual_seed(0)
    network = Network(4, EncoderConfig(bands=6, channels=8, recurrent=8, layers=1, dropout=0.5))
    features, lengths = torch.randn(2, 40, 6), torch.tensor([40, 32])
    in_use = network.eval().encode(features, lengths)[0]
    network.freeze(3)
    assert torch.equal(network.train().encode(features, lengths)[0], in_use)
    assert network.training


def test_the_encoder_has_a_rate_of_its_own():
    """All along the schedule, and after a stop."""
    network = Network(4, EncoderConfig(bands=6, channels=8, recurrent=8, layers=1))
    network.heads["snr"] = SnrHead(network.width, 0.0, 1.0, 1.0)
    config = TrainingConfig(learning_rate=1e-2, encoder_rate=0.1, warmup=0.2)
    stepper = Stepper(network, config, AugmentConfig(), 0, 10)
    encoder, top = stepper.optimizer.param_groups
    assert [id(p) for p in (*encoder["params"], *top["params"])] == [id(p) for p in network.parameters()]
    item = Item("a", "text", 40, torch.tensor([1, 2]), {"snr": torch.tensor(3.0)})
    rates = []
    for number in range(10):
        low, high = (group["lr"] for group in stepper.optimizer.param_groups)
        rates.append(high)
        assert low == pytest.approx(0.1 * high)
        stepper.step(1, number, Batch([item], torch.randn(1, 40, 6), torch.tensor([40])), 1.0, 1)
        if number == 4:
            stepper.restore(stepper.state(), 5)
    assert rates[1] == max(rates) == pytest.approx(1e-2)
    assert rates[2:] == sorted(rates[2:], reverse=True)


def test_what_it_started_from_is_kept(first, sets, tmp_path):
    made = train("e2e", *sets, tmp_path / "run", *BRIEF, f"--init-from={first}", "--freeze=1")
    kept = {"path": str(first), "sha256": sha256(first / "network.safetensors"), "freeze": 1}
    assert Run(made).provenance["init_from"] == kept


def test_a_transfer_goes_on_after_a_kill_and_from_no_other_run(first, others, sets, tmp_path):
    flags = ("training.epochs=2", "training.batch_seconds=4", "training.checkpoint_seconds=0", "heads.phonemes=0.5")
    flags += (f"--init-from={first}", "--freeze=2")
    data, out = (others, sets[1]), tmp_path / "run"
    whole = train("e2e", *data, tmp_path / "whole", *flags)
    assert train_until_killed(Stepper, "step", 7, data, out, *flags)
    with pytest.raises(SpeechbenchError, match=r"was begun with init_from = .*'freeze': 2.*, not .*'freeze': 1"):
        train("e2e", *data, out, *flags[:-1], "--freeze=1", "--resume")
    train("e2e", *data, out, *flags, "--resume")
    assert made_of(out) == made_of(whole)


def test_runs_that_do_not_fit_are_named(first, sets, tmp_path):
    out = tmp_path / "other"
    for setting, told in [
        ("encoder.channels=24", r"its encoder is recurrent \(48 channels, .*, not recurrent \(24 channels"),
        ("encoder.norm=layer", r"norm batch, 40 bands\), not .*norm layer"),
        ("encoder.bands=20", r"40 bands\), not .*20 bands"),
    ]:
        with pytest.raises(SpeechbenchError, match=told + r".*; set the same \[encoder\]"):
            train("e2e", *sets, out, *BRIEF, setting, f"--init-from={first}")
    conformer = ("encoder.kind=conformer", "encoder.bands=40", "training.epochs=1")
    with pytest.raises(SpeechbenchError, match=r"its encoder is recurrent .*, not conformer \("):
        flags = [part for setting in conformer for part in ("--set", setting)]
        run("train", "--mode", "e2e", "--train", sets[0], "--dev", sets[1], "--out", out, "--init-from", first, *flags)
    with pytest.raises(SpeechbenchError, match="--freeze 4: the encoder has 3 layers; 'encoder' freezes all"):
        train("e2e", *sets, out, *BRIEF, f"--init-from={first}", "--freeze=4")
    shutil.copytree(first, tmp_path / "pipeline")
    config = json.loads((first / "config.json").read_text()) | {"mode": "pipeline"}
    (tmp_path / "pipeline" / "config.json").write_text(json.dumps(config))
    with pytest.raises(SpeechbenchError, match="is a pipeline run; name one of --mode e2e to start from"):
        train("e2e", *sets, out, *BRIEF, f"--init-from={tmp_path / 'pipeline'}")
    assert not out.exists()


def test_a_network_with_other_layers_is_named(first, sets, tmp_path):
    shutil.copytree(first, tmp_path / "old")
    state = network_of(first)
    state["recurrence.weight"] = state.pop("layers.0.norm.weight")
    tensors.save(tmp_path / "old" / "network.safetensors", state)
    told = r"old/network\.safetensors: was written by a version with other layers, which differ in layers.*recurrence.weight"
    with pytest.raises(SpeechbenchError, match=told):
        train("e2e", *sets, tmp_path / "run", *BRIEF, f"--init-from={tmp_path / 'old'}")


def test_dropout_may_differ(first, sets, tmp_path):
    assert transfer_row(train("e2e", *sets, tmp_path / "run", *BRIEF, "encoder.dropout=0.3", f"--init-from={first}"))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--freeze", "encoder"], "--freeze keeps what --init-from brings"),
        (["--freeze", "half", "--init-from", "RUN"], "'half'; expected encoder, a number of layers, or none"),
    ],
)
def test_freezing_is_asked_for_rightly(first, sets, tmp_path, flags, told):
    flags = [str(first) if flag == "RUN" else flag for flag in flags]
    with pytest.raises(click.UsageError, match=told):
        train_with = ["--train", sets[0], "--dev", sets[1], "--out", tmp_path / "run", *flags]
        run("train", "--mode", "e2e", *[p for s in SMALL["e2e"] for p in ("--set", s)], *train_with)
