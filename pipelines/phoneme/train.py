"""Training of the pipeline, in stages: flat start -> Gaussian mixtures -> network -> network on its own alignment."""

from __future__ import annotations

import os
from dataclasses import asdict
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from pipelines.batches import extract
from pipelines.graph import Topology
from pipelines.phoneme import gmm, network
from pipelines.phoneme.align import Alignment, Corpus, flat_start
from pipelines.phoneme.config import PipelineConfig
from pipelines.phoneme.recognizer import CANDIDATES, MIXTURE_CANDIDATES, MIXTURES, NETWORK, STATES, Acoustic, front_end
from pipelines.tuning import MOST_UTTERANCES, tune_weights
from pipelines.words import open_graph, prepare_words, report_language_model
from speechbench import audio, g2p, voices
from speechbench.audio import Samples
from speechbench.errors import AudioError, SpeechbenchError
from speechbench.features import log_mel
from speechbench.files import write_json
from speechbench.lexicon import SILENCE, Lexicon, pronounce
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.progress import say
from speechbench.run import Run
from speechbench.seeds import generator_of, seed_of

SCORED_FRAMES = 20_000  # whose likelihood is reported


def train(run: Run, config: PipelineConfig, manifest: Manifest, dev: Manifest, skipped: Skipped) -> None:
    """Train into a run folder: lexicon, language model, mixtures, network, and the decoding weights chosen on dev.

    Args:
        run: A new run.
        config: How.
        manifest: With texts.
        dev: With texts; only the decoding weights are chosen on it.
        skipped: Takes the utterances whose audio cannot be used or is too short for the text.

    Raises:
        SpeechbenchError: A word without pronunciation; no utterance is left.
    """
    texts = [utterance.text or "" for utterance in manifest]
    guess = partial(g2p.guess, stress=config.stress) if config.guess_pronunciations and voices.installed() else None
    find = partial(pronounce, lexicon_file=config.lexicon, stress=config.stress)
    lexicon = prepare_words(run, config.language_model, texts, find, guess, only_units_of_texts=True)
    report_language_model(run, dev)
    phonemes = sorted({phoneme for variants in lexicon.values() for p in variants for phoneme in p} - {SILENCE})
    topology = Topology((SILENCE, *phonemes), SILENCE, STATES)
    write_json(run.path / "units.json", list(topology.units))

    corpus, energies = _load(config, topology, lexicon, manifest, skipped)
    chosen = dev.sample(MOST_UTTERANCES, config.seed)
    heard = list(extract(chosen, front_end(config.mfcc), skipped, "features of dev"))
    if not heard:
        raise SpeechbenchError(f"{dev.name}: no utterance can be used: {skipped.reasons[chosen.utterances[0].id]}")
    mixtures, alignments = _train_mixtures(run, config, corpus, energies)
    save_file(vars(mixtures), run.path / MIXTURES)
    acoustic, candidates = Acoustic(mixtures.log_likelihoods, torch.zeros(topology.columns)), MIXTURE_CANDIDATES
    if config.acoustic == "network":
        acoustic, candidates = _train_network(run, config, topology, corpus, alignments), CANDIDATES

    graph = open_graph(run.path, topology, lexicon)
    scored = [(utterance.words, acoustic.score(features).numpy()) for utterance, features in heard]
    weights, looks = tune_weights(graph, scored, acoustic.log_priors.numpy(), candidates, config.beam)
    for look in looks:
        run.log(stage="decoding", **look)
    write_json(run.path / "decoding.json", {**asdict(weights), "beam": config.beam})


def _load(
    config: PipelineConfig, topology: Topology, lexicon: Lexicon, manifest: Manifest, skipped: Skipped
) -> tuple[Corpus, list[Tensor]]:
    corpus, energies = Corpus(topology, lexicon), []
    mfcc = front_end(config.mfcc)

    def both(samples: Samples) -> tuple[Tensor, Tensor]:
        return mfcc(samples), log_mel(samples, 40).logsumexp(1)

    for utterance, (features, energy) in extract(manifest, both, skipped, "features of train"):
        plain = features
        twin = clean_twin(utterance, manifest)
        if twin is not None:
            plain, energy = both(twin)
        if len(plain) != len(features):
            raise SpeechbenchError(
                f"{utterance.id}: {len(features)} frames, but its clean twin has {len(plain)}; synthesise it again"
            )
        if corpus.add(utterance.id, features, plain, utterance.words):
            energies.append(energy)
        else:
            skipped.add(utterance.id, AudioError(f"{len(features)} frames are too few for the phonemes of '{utterance.text}'"))
    if not corpus.ids:
        raise SpeechbenchError(f"{manifest.name}: no utterance is left to train on")
    return corpus, energies


def clean_twin(utterance: Utterance, manifest: Manifest) -> Samples | None:
    """The clean speech under a synthesised utterance; None for other utterances, and, with a word, where it cannot be read."""
    name = utterance.extra.get("clean_filepath")
    if not isinstance(name, str) or manifest.path is None:
        return None
    try:
        path = Path(os.path.normpath(manifest.path.parent / name))
        return audio.read(path, float(utterance.extra.get("clean_offset", 0.0)), utterance.duration)
    except AudioError as error:
        say(f"{utterance.id}: aligned as it sounds, for its clean twin cannot be used: {error}")
        return None


def _train_mixtures(
    run: Run, config: PipelineConfig, corpus: Corpus, energies: list[Tensor]
) -> tuple[gmm.Mixtures, list[Alignment]]:
    """Mixtures and alignments. The search for the alignment hears clean speech where it can, which noise would mislead."""
    plain = torch.cat(corpus.plain)
    first = torch.from_numpy(np.concatenate(flat_start(corpus, energies)))
    alignments: list[Alignment] = []

    def align(current: gmm.Mixtures) -> Tensor:
        alignments[:] = corpus.align(current.log_likelihoods)
        return torch.from_numpy(np.concatenate(alignments))

    def report(gaussians: int, current: gmm.Mixtures, states: Tensor) -> None:
        step = max(1, len(plain) // SCORED_FRAMES)
        score = float(current.log_likelihoods(plain[::step]).gather(1, states[::step, None]).mean())
        run.log(stage="gmm", gaussians=gaussians, log_likelihood=round(score, 4))
        say(f"mixtures: {gaussians} Gaussians per state, log-likelihood per frame {score:.3f}")

    settings = config.gmm
    start = gmm.Mixtures.flat(corpus.states, plain).update(plain, first)
    mixtures, states = gmm.train(start, plain, align, settings.gaussians, settings.iterations, report)
    if any(p is not f for p, f in zip(corpus.plain, corpus.features, strict=True)):
        # The mixtures of the noisy speech itself, on the alignment of the clean.
        noisy = torch.cat(corpus.features)
        start = gmm.Mixtures.flat(corpus.states, noisy).update(noisy, states)
        mixtures, _ = gmm.train(start, noisy, lambda _: states, settings.gaussians, 1, lambda *_: None)
    return mixtures, alignments


def _train_network(
    run: Run, config: PipelineConfig, topology: Topology, corpus: Corpus, alignments: list[Alignment]
) -> Acoustic:
    features = corpus.features[0].shape[1]
    for round_number in range(config.network.realign + 1):
        torch.manual_seed(seed_of(config.seed, "network", round_number))
        net = network.TimeDelayNetwork(features, topology.columns, config.network)
        pairs = [(x, torch.from_numpy(a)) for x, a in zip(corpus.features, alignments, strict=True)]
        generator = generator_of(config.seed, "chunks", round_number)
        for epoch, row in enumerate(network.fit(net, pairs, config.network, generator, f"network {round_number + 1}")):
            run.log(stage=f"network-{round_number + 1}", epoch=epoch + 1, **row)
        acoustic = Acoustic(net.log_posteriors, network.log_priors(alignments, topology.columns))
        if round_number < config.network.realign:
            alignments = corpus.align(partial(_likelihoods, acoustic))
    save_file({**net.state_dict(), "log_priors": acoustic.log_priors}, run.path / NETWORK)
    return acoustic


def _likelihoods(acoustic: Acoustic, features: Tensor) -> Tensor:
    """Scaled likelihoods: log p(x|s) = log p(s|x) - log p(s) + a constant (Bourlard and Morgan 1994)."""
    return acoustic.score(features) - acoustic.log_priors
