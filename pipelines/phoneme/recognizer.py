"""The trained pipeline as a recogniser: scores of tied HMM states -> best path through lexicon and language model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from pipelines.batches import extract
from pipelines.boundaries import refine
from pipelines.ctc import network as ctc
from pipelines.ctc.edges import score_spoken
from pipelines.decoding import Decoder
from pipelines.graph import Topology
from pipelines.phoneme.config import CtcConfig, GmmConfig, PipelineConfig
from pipelines.phoneme.heard import BANDS, Heard, all_cepstra, energies
from pipelines.phoneme.network import Scorer, TimeDelayNetwork, log_priors
from pipelines.phoneme.stages import TREE, Stage, features_of
from pipelines.speakers import speakers_of
from pipelines.tree import Tree
from pipelines.tuning import Candidates
from speechbench.audio import Samples
from speechbench.config import build
from speechbench.features import FRAME_SHIFT, cmvn
from speechbench.files import read_json
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.recognizer import BEST, Hypothesis, Request
from speechbench.run import Run

NETWORK, CTC, WEIGHTS = "network", "ctc", "network.safetensors"
STATES = 3  # per phoneme of an HMM
# Small scales, for neighbouring frames tell much the same.
WORD_COSTS = (0.0, -0.7, 0.7)
# Most frames are silence. Divided by its whole prior, noise that training did not know becomes words, and dev cannot tell:
# trained in the car (picovoice_intent, five folds) dev has 116, 90, 90 and 94 errors with 1, 0.6, 0.4 and 0.3 of the priors,
# fold 4 under other noise at 5 dB 185, 88, 70 and 66.
CANDIDATES = Candidates((0.15, 0.1, 0.2), (0.4,), WORD_COSTS)
# Mixtures tell p(sound | state) as it is: with -0.6 their states have as much of the priors as those of the network.
MIXTURE_CANDIDATES = Candidates((0.05, 0.07), (-0.6,), (0.0, -0.7, 0.7))


def candidates_of(acoustic: str) -> Candidates:
    """The decoding weights to try for a stage."""
    return {NETWORK: CANDIDATES, CTC: ctc.CANDIDATES}.get(acoustic, MIXTURE_CANDIDATES)


Traits = Callable[[Tensor], Tensor]  # log-mel energies (T, F) to features (T, F') of which a speaker has moments


def traits_of(acoustic: str) -> Traits:
    """By which a stage knows speakers: it normalises cepstra, a network trained by CTC the energies themselves."""
    return (lambda mel: mel) if acoustic == CTC else all_cepstra


@dataclass(frozen=True)
class Acoustic:
    """An acoustic model: an utterance to scores (T', S) of the topology's columns, and their log priors (S,)."""

    topology: Topology
    score: Callable[[Heard], Tensor]
    log_priors: Tensor
    bands: int = BANDS  # of the log-mel energies
    traits: Traits | None = None  # by which it wants to know the speaker; None where that makes no difference
    frame_shift: float = FRAME_SHIFT  # s, between two rows of scores


def as_heard(stage: str) -> str:
    """The folder of a stage's mixtures for speech with the noise in it."""
    return f"{stage}-heard"


def mixture_acoustic(stage: Stage, config: GmmConfig) -> Acoustic:
    """Of a stage of mixtures."""
    make = stage.features(config)

    def score(heard: Heard) -> Tensor:
        return stage.log_likelihoods(make(heard))

    priors = log_priors(np.bincount(stage.alignment, minlength=stage.topology.columns))
    return Acoustic(stage.topology, score, priors, traits=all_cepstra if config.speaker_frames else None)


def network_acoustic(folder: Path, topology: Topology, config: PipelineConfig) -> Acoustic:
    """Of the network in a folder; the topology is the one that it was trained with."""
    state = load_file(folder / WEIGHTS)
    log_priors = state.pop("log_priors")
    make = features_of(config.gmm, transform := state.pop("transform"))
    network = TimeDelayNetwork(len(transform), topology.columns, config.network)
    network.load_state_dict(state)
    score = Scorer(network)
    traits = all_cepstra if config.gmm.speaker_frames else None
    return Acoustic(topology, lambda heard: score(make(heard)), log_priors, traits=traits)


def ctc_acoustic(folder: Path, topology: Topology, config: CtcConfig) -> Acoustic:
    """Of the network in a folder that was trained by CTC."""
    state = load_file(folder / WEIGHTS)
    log_priors = state.pop("log_priors")
    network = ctc.Network(topology.columns, config.encoder)
    network.load_state_dict(state)

    def score(heard: Heard) -> Tensor:
        return score_spoken(network, cmvn(heard.mel, heard.speaker, config.speaker_frames), config.silence)

    traits = traits_of(CTC) if config.speaker_frames else None
    return Acoustic(topology, score, log_priors, config.encoder.bands, traits, ctc.STEP)


def topology_of(units: Sequence[str], acoustic: str) -> Topology:
    """The phonemes, silence first, as a stage has them before any tree."""
    return Topology(tuple(units), units[0], 0 if acoustic == CTC else STATES)


def open_acoustic(run: Run, config: PipelineConfig) -> Acoustic:
    """Of a finished run."""
    phonemes = topology_of(read_json(run.path / "units.json"), config.acoustic)
    if config.acoustic == CTC:
        return ctc_acoustic(run.path / CTC, phonemes, config.ctc)
    if config.acoustic == NETWORK:
        folder = run.path / NETWORK
        return network_acoustic(folder, phonemes.tied(Tree.read(folder / TREE, phonemes.units)), config)
    heard = run.path / as_heard(config.acoustic)
    return mixture_acoustic(Stage.read(heard if heard.exists() else run.path / config.acoustic, phonemes), config.gmm)


class PipelineRecognizer:
    """Opens a run of `train --mode pipeline`."""

    def __init__(self, run: Run) -> None:
        config = {key: value for key, value in run.config.items() if key != "mode"}
        self.config = build(PipelineConfig, config, str(run.path / "config.json"))
        self.acoustic = open_acoustic(run, self.config)
        self.topology = self.acoustic.topology
        self.decoder = Decoder(run.path, self.topology, self.acoustic.frame_shift, self.acoustic.log_priors.numpy())

    def transcribe(self, manifest: Manifest, skipped: Skipped, request: Request = BEST) -> Iterator[Hypothesis]:
        """The best words for each utterance, with their phonemes, and what else is asked for.

        All that a speaker says in the manifest tells how the speaker sounds.
        """
        bands, traits = self.acoustic.bands, self.acoustic.traits
        speakers = speakers_of(manifest, lambda samples: traits(energies(samples, bands))) if traits else {}

        def both(samples: Samples) -> tuple[Samples, Tensor]:
            return samples, energies(samples, bands)

        waiting: deque[Samples] = deque()

        def scored() -> Iterator[tuple[Utterance, NDArray[np.float32]]]:
            for utterance, (samples, mel) in extract(manifest, both, skipped, f"decode {manifest.name}"):
                waiting.append(samples)
                yield utterance, self.acoustic.score(Heard(mel, speakers.get(utterance.speaker or ""))).numpy()

        for heard in self.decoder.hear_all(scored(), request, manifest.seconds):
            samples = waiting.popleft()
            # A spike of CTC is not where its sound begins or ends.
            yield refine(heard, samples) if self.topology.states else heard
