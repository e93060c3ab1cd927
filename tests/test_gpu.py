"""What must hold on a GPU; everything else is tested on the processor. It needs neither the FST packages nor a corpus."""

from functools import partial

import numpy as np
import pytest
import torch
from made_speech import make_noise, make_speech

from pipelines.ahead import ahead
from pipelines.ctc.config import AugmentConfig, EncoderConfig, TrainingConfig
from pipelines.ctc.conformer import ConformerLayer
from pipelines.ctc.items import Item, Stored
from pipelines.ctc.network import Network
from pipelines.ctc.norms import speech_of
from pipelines.ctc.scenes import Scenes
from pipelines.ctc.step import Stepper
from speechbench import manifest
from speechbench.features import frames_of
from speechbench.manifest import Skipped
from synth.apart import apart
from synth.build import Plan
from synth.live import Live
from synth.recipe import CabinRanges, Recipe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason=f"torch {torch.__version__} sees no GPU on this machine")

TOKENS, BANDS = 8, 20
STILL = AugmentConfig(stretch=0.0, warp=0.0, frequency_masks=0, time_masks=0)


@pytest.mark.filterwarnings("ignore:.torch.jit.script_method. is")  # torch's own, too
@pytest.mark.filterwarnings("ignore:TensorFloat32 tensor cores for float32")  # exact products are what is compared
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # torch's own, while it compiles
@pytest.mark.parametrize("norm", ["batch", "layer"])
def test_a_compiled_block_has_the_gradients_of_one_that_is_not(norm, monkeypatch):
    """In float32, where sizes differ between calls; torch 2.11 has compiled wrong gradients without a word."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    torch.manual_seed(0)
    config = EncoderConfig(kind="conformer", size="0.3M", norm=norm, dropout=0.0)
    plain, compiled, here = (ConformerLayer(64, config) for _ in range(3))
    for layer in (compiled, here):
        layer.load_state_dict(plain.state_dict())
    plain, compiled = plain.cuda(), compiled.cuda()
    compiled.compile(dynamic=True)
    for lengths in (
        torch.tensor([120, 77, 95]),
        torch.tensor([201, 33]),
        torch.tensor([64, 60, 50, 40, 30]),
        torch.tensor([9]),
    ):
        given = torch.randn(len(lengths), int(lengths.max()), 64)
        places = ((here, "cpu"), (plain, "cuda"), (compiled, "cuda"))
        found = [gradients(layer, given.to(where, copy=True), lengths) for layer, where in places]
        largest = max(float(one.detach().abs().max()) for one in found[0].values())
        for name, wanted in found[0].items():
            for other in found[1:]:
                torch.testing.assert_close(other[name].cpu(), wanted, atol=2e-3 * largest, rtol=5e-3, msg=name)


def gradients(layer, values, lengths):
    values.requires_grad_()
    result = layer(values, speech_of(lengths, values))
    layer.zero_grad()
    (result**3).sum().backward()
    return {"result": result, "values": values.grad} | {name: one.grad for name, one in layer.named_parameters()}


def losses(device, source, epochs=6, kind="conformer"):
    """Of each step of a training."""
    torch.manual_seed(0)
    network = Network(TOKENS, EncoderConfig(kind=kind, size="0.3M", bands=BANDS, dropout=0.0))
    config = TrainingConfig(device=device, precision="float32", compile="off", epochs=epochs)
    batches = dict(enumerate([[0, 1, 2], [3, 4], [5, 6, 7]]))
    stepper, found = Stepper(network, config, STILL, 0, epochs * len(batches)), []
    stepper.network.train()
    read = ahead(stepper.brought(source, ((epoch, batches) for epoch in range(1, epochs + 1))))
    for epoch in range(1, epochs + 1):
        for number, batch in iter(partial(next, read), None):
            stepper.step(epoch, number, batch, 1.0, len(batch.items))
            if stepper.must_be_read:
                found += stepper.losses()
    return found + stepper.losses()


def items():
    chance = np.random.default_rng(0)
    return [
        Item(f"utt{n:02d}", "", int(chance.integers(60, 200)), torch.from_numpy(chance.integers(1, TOKENS, 5)))
        for n in range(8)
    ]


@pytest.mark.parametrize("kind", ["conformer", "recurrent"])
def test_training_on_features_goes_as_on_the_processor(kind):
    chance = torch.Generator().manual_seed(0)
    features = {item.id: torch.randn(item.frames, BANDS, generator=chance) for item in items()}
    here, there = (
        losses(device, Stored(items(), features.__getitem__, device == "cuda"), kind=kind) for device in ("cpu", "cuda")
    )
    assert len(here) == 18 and here[-1] < 0.9 * here[0]
    assert there == pytest.approx(here, rel=0.02)


def test_training_on_scenes_that_processes_read_goes_as_on_the_processor(tmp_path):
    speech = manifest.read(make_speech(tmp_path, [1.0, 1.5, 2.0, 1.2, 0.9, 2.5, 1.7, 1.1]))
    plan = Plan(speech, [make_noise(tmp_path)], Recipe(cabin=CabinRanges(count=3)))
    tokens = torch.tensor([1, 2, 3])
    known = {one.id: Item(one.id, "", frames_of(round(one.duration * 16_000)), tokens) for one in speech}

    def source(device, reader=None):
        return Scenes(Live(plan, Skipped(), device, reader), known, BANDS, Skipped())

    with apart(3) as reader:
        there = losses("cuda", source("cuda", reader))
    assert there == pytest.approx(losses("cpu", source("cpu")), rel=0.02)


def test_a_gpu_copies_straight_from_the_memory_that_processes_read_into(tmp_path):
    speech = manifest.read(make_speech(tmp_path, [1.0, 1.5, 2.0]))
    plan = Plan(speech, [make_noise(tmp_path)], Recipe(cabin=CabinRanges(count=2)))
    with apart(2) as reader:
        live = Live(plan, Skipped(), "cuda", reader)
        scenes = live.scenes(0)
        there = [batch.samples.cpu() for batch in live.render([scenes[:1], scenes, scenes[1:]] * 3)]
        memories = list(reader.free)
        assert memories and all(torch.from_numpy(memory.values).is_pinned() for memory in memories)
    assert not any(torch.from_numpy(memory.values).is_pinned() for memory in memories)
    for found, wanted in zip(there, Live(plan, Skipped()).render([scenes[:1], scenes, scenes[1:]] * 3), strict=True):
        torch.testing.assert_close(found, wanted.samples, atol=1e-5, rtol=1e-4)
