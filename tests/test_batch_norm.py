"""The study of batch norm: its grid, its statistics, its tables."""

import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from pipelines.ctc.augment import augment
from pipelines.ctc.augment import draw as draw_changes
from pipelines.ctc.network import Network, score_all
from pipelines.e2e.config import E2eConfig
from speechbench.config import load

sys.path.append(str(Path(__file__).parent / "benchmarks"))

import batch_norm as study
import batch_norm_table as table


def small(norm="batch"):
    torch.manual_seed(0)
    return Network(5, replace(E2eConfig().encoder, norm=norm, bands=6, channels=8, recurrent=8, layers=2)).eval()


def draw(count, shift=0.0):
    torch.manual_seed(1)
    return [shift + torch.randn(int(length), 6) for length in torch.randint(8, 90, (count,))]


def test_the_cross_is_the_grids_beginning():
    grid, cross = list(study.cells(2, cross=False)), list(study.cells(1, cross=True))
    assert len(grid) == len(set(grid)) == 3 * 5 * 5 * 2
    assert grid[: len(cross)] == cross and len(cross) == 3 * (5 + 5 - 1)
    assert all(study.MIDDLE[0] == cell.rate or study.MIDDLE[1] == cell.batch for cell in cross)


def test_nothing_but_the_norm_regularises():
    """Whatever augmentation the config knows is off."""
    given = [f"{key}={value}" for key, value in study.settings(study.Cell("layer", 5e-3, 32, 1), 2.0, 8).items()]
    config = load(E2eConfig, None, given)
    assert (config.encoder.dropout, config.encoder.norm, config.seed) == (0, "layer", 1)
    assert (config.training.learning_rate, config.training.batch_of(1e6, 1)) == (5e-3, 64)
    given, lengths = torch.randn(3, 500, 80), torch.tensor([500, 500, 500])
    assert torch.equal(augment(given, lengths, draw_changes(lengths, 80, config.augment, range(3))), given)


def test_reestimated_statistics_are_those_of_the_frames_that_are_no_padding():
    network, shifted = small(), draw(7, shift=3.0)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with study.reestimated(network, shifted):
        mean, variance = (getattr(network.convolutions.norms[0], f"running_{name}") for name in ("mean", "var"))
        first = network.convolutions.layers[0]
        frames = torch.cat([first(one.T[None])[0].T for one in shifted])
        torch.testing.assert_close(mean, frames.mean(0), atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(variance, frames.var(0), atol=1e-4, rtol=1e-4)
        assert not any(module.training for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_reestimated_statistics_undo_a_shift_of_the_input():
    """What the first layer adds to all frames alike is taken away again; at the ends, where it sees zeros, nearly so."""
    network, clean = small(), draw(20)
    shifted = [one + 2.0 for one in clean]
    with study.reestimated(network, clean):
        own = torch.cat(score_all(network, clean))
        off = torch.cat(score_all(network, shifted))
    with study.reestimated(network, shifted):
        mended = torch.cat(score_all(network, shifted))
    assert (mended - own).abs().mean() < 0.3 * (off - own).abs().mean()


def test_without_batch_norm_nothing_is_estimated():
    network = small("layer")
    before = torch.cat(score_all(network, draw(3)))
    with study.reestimated(network, draw(3, shift=5.0)):
        assert torch.equal(torch.cat(score_all(network, draw(3))), before)


def row(norm, rate, dev, **more):
    """A finished cell whose errors on train are half of those on dev."""
    rates = {"train": dev / 2, "dev": dev, "shifted": 2 * dev, **more}
    both = {name: {"character": value, "word": value} for name, value in rates.items()}
    return {**asdict(study.Cell(norm, rate, study.MIDDLE[1], 0)), "rates": both, "processor_seconds": 10.0}


ROWS = [
    row("batch", 1.5e-3, 0.2, **{"shifted re-estimated": 0.3}),
    row("batch", 5e-3, 0.1, **{"shifted re-estimated": 0.15}),
    {**asdict(study.Cell("none", 1.5e-3, 8, 0)), "diverged": "the loss is not finite", "processor_seconds": 4.0},
    row("none", 5e-3, 0.3),
]


def test_tables_tell_each_cell_and_each_norms_best():
    text = table.tables(ROWS, "toy")
    assert text.startswith("4 trainings on toy, 8 s of one core each")
    assert "| 0.0015 | 10.0 / 20.0 |" in text and "| 0.0015 | not finite |" in text
    assert "| batch | 0.005, 8 | 5.0 (5.0) | 10.0 (10.0) |  | 20.0 (20.0) | 15.0 (15.0) |" in text
    assert "| none | 0.005, 8 | 15.0 (15.0) | 30.0 (30.0) |  | 60.0 (60.0) |  |" in text


def test_seeds_are_averaged_and_one_that_did_not_end_is_not_left_out():
    twice = [ROWS[0], {**row("batch", 1.5e-3, 0.4), "seed": 1}]
    assert table.mean(twice, "dev") == pytest.approx(0.3)
    assert table.mean([ROWS[0], {**ROWS[2], "norm": "batch", "seed": 1}], "dev") is None


def test_documents_get_tables_and_figure(tmp_path):
    start, end = "<!-- batch norm: written by tests/benchmarks/batch_norm.py -->", "<!-- end of batch norm -->"
    (tmp_path / "batch-norm.md").write_text(f"before\n{start}\nold\n{end}\nafter\n")
    table.write(tmp_path, "new", ROWS, study.MIDDLE)
    assert (tmp_path / "batch-norm.md").read_text() == f"before\n{start}\nnew\n{end}\nafter\n"
    assert (tmp_path / "batch-norm.png").read_bytes().startswith(b"\x89PNG")
