"""Partial end to end: a network from log-mel energies to phonemes, trained by CTC without alignment or states.

A sentence's tokens are the first pronunciation of each word, with the separator, silence, between words, as end to end has
the space. Source: Graves et al. 2006; Miao et al. 2015 (phonemes by CTC, then lexicon and language model).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.ctc import features
from pipelines.ctc.checkpoint import Row
from pipelines.ctc.device import chosen_device
from pipelines.ctc.items import Source, Stored
from pipelines.ctc.network import Network, greedy_tokens, report_size, score_all
from pipelines.ctc.train import Training, log_priors
from pipelines.graph import Topology
from pipelines.phoneme.config import CtcConfig
from pipelines.phoneme.recognizer import WEIGHTS
from speechbench.lexicon import Lexicon
from speechbench.manifest import Manifest, Skipped
from speechbench.score import Counts, align, count
from speechbench.seeds import seed_of


def phonemes_of(words: Sequence[str], lexicon: Lexicon, separator: str) -> list[str]:
    """The first pronunciation of each word that the lexicon knows, with the separator between them."""
    units: list[str] = []
    for word in words:
        if word in lexicon:
            units += [*([separator] if units else []), *lexicon[word][0]]
    return units


def source_of(
    folder: Path,
    manifest: Manifest,
    lexicon: Lexicon,
    topology: Topology,
    config: CtcConfig,
    skipped: Skipped,
    log: Callable[[Row], None],
) -> Source:
    """A training set as the training by CTC wants it; its features stay in their file until they are needed.

    Args:
        folder: Of the features; made unless it is there.
        manifest: As it sounds; the network has to hear through noise.
        lexicon: Of its words.
        topology: CTC over the phonemes.
        config: How much is heard.
        skipped: Takes the utterances whose audio cannot be used, or with more tokens than steps.
        log: Takes a row of how much is heard.

    Raises:
        SpeechbenchError: None is left.
    """
    numbers = {unit: number for number, unit in enumerate(topology.units, start=1)}  # 0 is the blank

    def tokens(words: Sequence[str]) -> Tensor:
        return torch.tensor([numbers[unit] for unit in phonemes_of(words, lexicon, topology.separator)], dtype=torch.long)

    features.write(folder, manifest, config.encoder.bands, config.speaker_frames)
    items = features.read_fitting(folder, manifest, tokens, config.silence, skipped, log)
    return Stored(items, features.read(folder, config.encoder.bands), chosen_device(config.training.device).type == "cuda")


def fit(
    folder: Path,
    source: Source,
    dev: Sequence[tuple[list[str], Tensor]],
    lexicon: Lexicon,
    topology: Topology,
    config: CtcConfig,
    seed: int,
    log: Callable[[Row], None],
    kept: Path,
) -> None:
    """Train a network into a folder.

    Args:
        folder: Of the stage.
        source: Of what is trained on.
        dev: Words, and normalised log-mel energies (T, F) of what is heard; the best epoch by greedy PER is chosen on it.
        lexicon: Of the words. What it lacks has no phonemes to be right: its sounds are insertions, in every epoch.
        topology: CTC over the phonemes.
        config: How.
        seed: Of the training.
        log: Takes a row of metrics after each epoch.
        kept: The checkpoint's file, outside the folder; the caller removes it.
    """
    heard = [features for _, features in dev]
    said = [[p for p in phonemes_of(words, lexicon, topology.separator) if p != topology.separator] for words, _ in dev]

    def errors(network: Network) -> Counts:
        told = (greedy_phonemes(scores, topology) for scores in score_all(network, heard))
        return sum((count(align(*pair)) for pair in zip(said, told, strict=True)), Counts())

    torch.manual_seed(seed_of(seed, "ctc"))
    network = Network(topology.columns, config.encoder)
    report_size(network, log)
    Training(config.training, config.augment, seed, "pipeline", errors).fit(network, source, log, kept)
    save_file({**network.state_dict(), "log_priors": log_priors(network, source)}, folder / WEIGHTS)


def greedy_phonemes(scores: Tensor, topology: Topology) -> list[str]:
    """The phonemes that the network tells without lexicon and language model, (T, V), separators left out."""
    units = (topology.units[token - 1] for token in greedy_tokens(scores))
    return [unit for unit in units if unit != topology.separator]
