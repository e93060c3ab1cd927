"""Two processes that torchrun starts compute what one does with the same batches."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from made_speech import make_noise
from toy_language import SMALL, make_corpus

from pipelines import parallel, tensors
from speechbench.errors import SpeechbenchError

ROOT = Path(__file__).parents[1]
BRIEF = ("training.epochs=3", "training.look_every=1", "training.batch_seconds=4", "training.checkpoint_seconds=0")


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return make_corpus(folder, "train", 25, "characters"), make_corpus(folder, "dev", 3, "characters", seed=1)


def train(processes, sets, out, *flags):
    """Train through the command line; what it said."""
    settings = [part for setting in (*SMALL["e2e"], *BRIEF) for part in ("--set", setting)]
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)] if processes > 1 else []
    command = [sys.executable, *start, "-m", "speechbench", "train", "--mode", "e2e", *settings, *flags]
    command += ["--train", str(sets[0]), "--dev", str(sets[1]), "--out", str(out)]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=200
    )
    if done.returncode:
        raise SpeechbenchError(done.stderr)
    return done.stderr


def losses(run):
    rows = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if "loss" in row]


@pytest.mark.slow
@pytest.mark.parametrize("way", ["as it is", "with noise", "with heads"])
def test_two_processes_have_the_loss_curve_of_one(sets, tmp_path, way):
    """Batches of 4 s hold one to four utterances: some are shared, some are in both processes."""
    flags = () if way == "as it is" else ("--noise", str(make_noise(tmp_path)), "--recipe", "plain")
    if way == "with heads":
        # Batch norm takes the mean of an utterance that is alone in its batch: a head that looks at means sees rounding there,
        # which Adam makes as large as any gradient.
        flags += ("--set", "training.batch_seconds=12")
        flags += tuple(part for name in ("phonemes", "condition", "snr") for part in ("--set", f"heads.{name}=0.5"))
    train(1, sets, tmp_path / "one", *flags)
    said = train(2, sets, tmp_path / "two", *flags)
    one, two = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(one) == 3 and two == pytest.approx(one, rel=2e-3)
    first, second = (tensors.load(tmp_path / name / "network.safetensors")[0] for name in ("one", "two"))
    for name, value in first.items():
        torch.testing.assert_close(second[name], value, atol=0.02, rtol=0.05, msg=name)
    if way == "with heads":
        heads, others = (tensors.load(tmp_path / name / "heads.safetensors")[0] for name in ("one", "two"))
        for name, value in heads.items():
            torch.testing.assert_close(others[name], value, atol=0.02, rtol=0.05, msg=name)
    assert said.count("epoch 3 of 3") == 1  # one process speaks
    assert {path.name for path in (tmp_path / "two").iterdir()} == {path.name for path in (tmp_path / "one").iterdir()}


@pytest.mark.parametrize(("length", "size"), [(1, 2), (2, 2), (3, 2), (7, 3), (2, 3), (3, 8)])
def test_each_utterance_counts_once_over_all_processes(monkeypatch, length, size):
    monkeypatch.setattr(parallel, "size", lambda: size)
    counted = dict.fromkeys(range(10, 10 + length), 0.0)
    for rank in range(size):
        monkeypatch.setattr(parallel, "rank", lambda rank=rank: rank)
        places, weight = parallel.share(range(10, 10 + length))
        assert places
        for place in places:
            counted[place] += weight
    assert counted == pytest.approx(dict.fromkeys(counted, 1.0))


def norm_of_one_part(rank, size, port, out):
    torch.distributed.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=size)
    values = batch()[rank::size].clone().requires_grad_()
    norm = parallel.SyncedBatchNorm(4)
    result = norm(values)
    (result**3).sum().backward()
    parallel.add_up([norm.weight.grad, norm.bias.grad])
    found = {"values": values.grad, "weight": norm.weight.grad, "bias": norm.bias.grad, "result": result.detach()}
    tensors.save(out / f"{rank}", found | {"mean": norm.running_mean, "variance": norm.running_var})
    torch.distributed.destroy_process_group()


def batch():
    return torch.randn(11, 4, generator=torch.Generator().manual_seed(0)) * 3 + 1


@pytest.mark.slow
def test_batch_norm_over_two_processes_is_torchs_over_all_frames(tmp_path):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(norm_of_one_part, (2, port, tmp_path), nprocs=2)
    norm, values = torch.nn.BatchNorm1d(4), batch().requires_grad_()
    result = norm(values)
    (result**3).sum().backward()
    for rank in range(2):
        found, _ = tensors.load(tmp_path / str(rank))
        whole = {"values": values.grad[rank::2], "weight": norm.weight.grad, "bias": norm.bias.grad, "result": result[rank::2]}
        whole |= {"mean": norm.running_mean, "variance": norm.running_var}
        for name, value in whole.items():
            torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-4, msg=name)
