"""Training of the pipeline, in stages: flat start -> monophones -> triphones -> network; or one network trained by CTC.

Each stage is a folder of the run, written whole: a training that was stopped goes on behind the last.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from pipelines.ahead import each, threads, torch_alone
from pipelines.batches import extract
from pipelines.ctc.board import check_board
from pipelines.ctc.checkpoint import Row
from pipelines.ctc.edges import spoken
from pipelines.ctc.items import Source
from pipelines.graph import Aligner, BestPath, Topology
from pipelines.phoneme import corpus as corpora
from pipelines.phoneme import ctc, network
from pipelines.phoneme.align import Alignment, Sentences, flat_start, follow, retied
from pipelines.phoneme.config import PipelineConfig
from pipelines.phoneme.corpus import Corpus, plain_energies
from pipelines.phoneme.heard import BANDS, Energies, Heard, energies
from pipelines.phoneme.recognizer import (
    CTC,
    NETWORK,
    WEIGHTS,
    Acoustic,
    Traits,
    as_heard,
    candidates_of,
    ctc_acoustic,
    mixture_acoustic,
    network_acoustic,
    topology_of,
    traits_of,
)
from pipelines.phoneme.stages import TREE, Fit, Stage, Start, grown, monophone, triphone
from pipelines.speakers import Listener
from pipelines.times import spans_on
from pipelines.tuning import MOST_UTTERANCES, tune_weights
from pipelines.words import open_graph, prepare_words, report_language_model
from speechbench import files, g2p, voices
from speechbench.errors import SpeechbenchError
from speechbench.features import cmvn
from speechbench.lexicon import SILENCE, Lexicon, pronounce
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.progress import say
from speechbench.run import Run
from speechbench.score import Counts, align, count
from speechbench.seeds import generator_of, seed_of

FEATURES, UNITS, DECODING, METRICS = "features", "units.json", "decoding.json", "metrics.json"
CHECKPOINT = "checkpoint.safetensors"  # of the network trained by CTC

Log = Callable[[dict[str, Any]], None]  # takes a row of metrics


def train(run: Run, config: PipelineConfig, manifest: Manifest, dev: Manifest, skipped: Skipped) -> None:
    """Train into a run folder: lexicon, language model, the stages up to the config's, and the decoding weights chosen on dev.

    Args:
        run: A new run, or one that was stopped.
        config: How.
        manifest: With texts.
        dev: With texts; only the decoding weights are chosen on it, and the best epoch of a network trained by CTC.
        skipped: Takes the utterances whose audio cannot be used or is too short for the text.

    Raises:
        SpeechbenchError: A word without pronunciation; no utterance is left; TensorBoard is asked for and not installed.
    """
    if config.acoustic == CTC:
        check_board(config.ctc.training)
    run.forget()  # what a training that was stopped had logged; each stage knows its own
    texts = [utterance.text or "" for utterance in manifest]
    guess = partial(g2p.guess, stress=config.stress) if config.guess_pronunciations and voices.installed() else None
    find = partial(pronounce, lexicon_file=config.lexicon, stress=config.stress)
    lexicon = prepare_words(run, config.language_model, texts, find, guess, only_units_of_texts=True)
    report_language_model(run, dev)
    phonemes = sorted({phoneme for variants in lexicon.values() for p in variants for phoneme in p} - {SILENCE})
    topology = topology_of((SILENCE, *phonemes), config.acoustic)
    files.write_json(run.path / UNITS, list(topology.units))

    chosen = dev.sample(MOST_UTTERANCES, config.seed)
    bands = config.ctc.encoder.bands if config.acoustic == CTC else BANDS
    heard = list(extract(chosen, partial(energies, bands=bands), skipped, "features of dev", threaded=True))
    if not heard:
        raise SpeechbenchError(f"{dev.name}: no utterance can be used: {skipped.reasons[chosen.utterances[0].id]}")
    traits = traits_of(config.acoustic)
    twins = [None if config.acoustic == CTC else corpora.clean_twin(utterance, chosen) for utterance, _ in heard]
    plain = [(one, plain_energies(twin, mel) if twin else mel) for (one, mel), twin in zip(heard, twins, strict=True)]
    as_heard, as_said = _beside_speakers(heard, traits), _beside_speakers(plain, traits) if any(twins) else None
    judge = _Judge(run, config, lexicon, as_heard, as_said)
    features = run.path / FEATURES
    if config.acoustic == CTC:
        source = ctc.source_of(
            features, manifest, lexicon, topology, config.ctc, skipped, lambda row: run.log(stage="silence", **row)
        )
        _by_ctc(run, config, source, topology, judge)
    else:
        speeds = config.network.speeds if config.acoustic == NETWORK else ()
        corpus = corpora.load(features, manifest, lexicon, topology.states, speeds, skipped)
        _Training(run, config, corpus, lexicon, judge).to(config.acoustic, topology)
    shutil.rmtree(features)


Said = list[tuple[list[str], Heard]]  # the words of utterances, and how they sound


def _beside_speakers(heard: Sequence[tuple[Utterance, Tensor]], traits: Traits) -> Said:
    listener = Listener()
    for utterance, mel in heard:
        listener.hear(utterance.speaker, traits(mel))
    known = listener.speakers()
    return [(utterance.words, Heard(mel, known.get(utterance.speaker or ""))) for utterance, mel in heard]


@dataclass(frozen=True)
class _Judge:
    """Has each stage recognise dev, and chooses the last one's decoding weights.

    The stages before the last, which learn from speech without its noise, recognise dev without its noise.
    """

    run: Run
    config: PipelineConfig
    lexicon: Lexicon
    dev: Said
    plain: Said | None  # dev without its noise; None where it has no clean twins

    def __call__(self, name: str, acoustic: Acoustic) -> None:
        last = name == self.config.acoustic
        graph = open_graph(self.run.path, acoustic.topology, self.lexicon)
        plain = None if last else self.plain
        said, heard = zip(*(plain or self.dev), strict=True)
        scored = list(zip(said, each(lambda one: acoustic.score(one).numpy(), heard), strict=True))
        candidates = candidates_of(name)
        tried = candidates if last else candidates.one()
        tuned = tune_weights(graph, scored, acoustic.log_priors.numpy(), tried, self.config.beam, threads())
        for look in tuned.looks:
            self.run.log(stage=name, columns=acoustic.topology.columns, dev="plain" if plain else "heard", **look)
        weighted = [(words, tuned.weights.apply(scores, acoustic.log_priors.numpy())) for words, scores in scored]
        phonemes = self._phoneme_errors(acoustic.topology, weighted, tuned.paths)
        self.run.log(stage=name, per=phonemes.rate, phoneme_errors=phonemes.errors, phonemes=phonemes.words)
        wer = min(look["dev_wer"] for look in tuned.looks)
        rates = f"WER {100 * wer:.2f} %, PER {100 * phonemes.rate:.2f} %"
        say(f"{name}: {acoustic.topology.columns} columns; dev{' without its noise' if plain else ''}: {rates}")
        if last:
            files.write_json(self.run.path / DECODING, {**asdict(tuned.weights), "beam": self.config.beam})

    def _phoneme_errors(
        self, topology: Topology, dev: Sequence[tuple[list[str], NDArray[np.float32]]], heard: Sequence[BestPath | None]
    ) -> Counts:
        """Errors of the phonemes that are heard, against those on the best path of the right words."""
        aligner = Aligner(topology, self.lexicon)

        def phonemes(path: BestPath) -> list[str]:
            return [unit for unit, _, _ in spans_on(path.columns, topology) if unit != topology.separator]

        total = Counts()
        for (words, scores), path in zip(dev, heard, strict=True):
            known = all(word in self.lexicon for word in words)
            right = follow(aligner.graph(words), scores) if known else None
            if right is not None:  # it fits
                total += count(align(phonemes(right), phonemes(path) if path else []))
        return total


def _once(run: Run, name: str, make: Callable[[Path, Log], None]) -> Path:
    """The folder of a stage, made whole unless it is there; what was logged when it was made is logged."""
    folder = run.path / name
    if not folder.exists():
        with files.writing_folder(folder) as aside:
            rows: list[dict[str, Any]] = []
            make(aside, rows.append)
            files.write_json(aside / METRICS, rows)
    for row in files.read_json(folder / METRICS):
        run.log(**row)
    return folder


def _by_ctc(run: Run, config: PipelineConfig, source: Source, phonemes: Topology, judge: _Judge) -> None:
    """Train the network that needs no stage before it."""
    kept = run.path / CHECKPOINT
    normalised = ((words, cmvn(heard.mel, heard.speaker, config.ctc.speaker_frames)) for words, heard in judge.dev)
    dev = [(words, spoken(features, config.ctc.silence)[1]) for words, features in normalised]

    def make(folder: Path, log: Log) -> None:
        def report(row: Row) -> None:
            log({"stage": CTC, **row})

        ctc.fit(folder, source, dev, judge.lexicon, phonemes, config.ctc, config.seed, report, kept)

    trained = _once(run, CTC, make)
    kept.unlink(missing_ok=True)
    judge(CTC, ctc_acoustic(trained, phonemes, config.ctc))


@dataclass(frozen=True)
class _Training:
    run: Run
    config: PipelineConfig
    corpus: Corpus
    lexicon: Lexicon
    judge: _Judge

    def to(self, last: str, phonemes: Topology) -> None:
        """Train all stages up to the last."""
        with torch_alone():
            sentences, stage = self._mixtures(last, phonemes)
        if last == NETWORK:
            self._network(sentences, stage)

    def _mixtures(self, last: str, phonemes: Topology) -> tuple[Sentences, Stage]:
        sentences = self._sentences(phonemes)
        stage = self._gmm("monophone", monophone, sentences, partial(self._flat_start, phonemes))
        if last == "monophone":
            return sentences, stage
        tied = grown(self.corpus.plain, stage, self.config.gmm, self.config.tree)
        paths = self.corpus.plain.cut(stage.alignment)
        sentences = self._sentences(tied)
        stage = self._gmm("triphone", triphone, sentences, lambda numbers: [retied(paths[n], phonemes, tied) for n in numbers])
        return sentences, stage

    def _sentences(self, topology: Topology) -> Sentences:
        return Sentences(topology, self.lexicon, [one.words for one in self.corpus.said])

    def _flat_start(self, phonemes: Topology, numbers: Sequence[int]) -> list[Alignment]:
        corpus = self.corpus
        energies = ((corpus.said[number].words, corpus.plain[number].mel.logsumexp(1).numpy()) for number in numbers)
        return [flat_start(words, self.lexicon, phonemes, energy) for words, energy in energies]

    def _gmm(self, name: str, fit: Fit, sentences: Sentences, start: Start) -> Stage:
        """A stage of mixtures, on speech without noise where that is there: noise would lead the alignment astray.

        If it is the last, mixtures of the speech as it sounds follow, along the same alignment.
        """
        config, phonemes, corpus = self.config.gmm, sentences.topology.tied(None), self.corpus

        def made(name: str, mel: Energies, start: Start, realign: bool) -> Stage:
            def make(folder: Path, log: Log) -> None:
                def report(gaussians: int, log_likelihood: float) -> None:
                    log({"stage": name, "gaussians": gaussians, "log_likelihood": round(log_likelihood, 4)})
                    say(f"{name}: {gaussians} Gaussians per state, log-likelihood per frame {log_likelihood:.3f}")

                fit(folder, mel, sentences, start, config, realign, report).write(folder)

            return Stage.read(_once(self.run, name, make), phonemes)

        stage = last = made(name, corpus.plain, start, True)
        if name == self.config.acoustic and corpus.heard is not corpus.plain:
            paths = corpus.as_heard(stage.alignment)
            last = made(as_heard(name), corpus.heard, lambda numbers: [paths[number] for number in numbers], False)
        self.judge(name, mixture_acoustic(last, config))
        return stage

    def _network(self, sentences: Sentences, stage: Stage) -> None:
        folder = _once(self.run, NETWORK, lambda aside, log: self._fit_network(aside, log, sentences, stage))
        self.judge(NETWORK, network_acoustic(folder, stage.topology, self.config))

    def _fit_network(self, folder: Path, log: Log, sentences: Sentences, stage: Stage) -> None:
        corpus, config, columns = self.corpus, self.config.network, stage.topology.columns
        make = stage.features(self.config.gmm)
        frames = [mel.map(folder / f"{number}.f32", make) for number, mel in enumerate([corpus.heard, *corpus.at_speeds])]
        alignment = stage.alignment
        for turn in range(config.realign + 1):
            paths = corpus.as_heard(alignment)
            labelled = network.Labelled(frames[0], paths)
            copies = [labelled, *map(labelled.at_speed, frames[1:])]
            torch.manual_seed(seed_of(self.config.seed, "network", turn))
            net = network.TimeDelayNetwork(frames[0].values.shape[1], columns, config)
            chance = generator_of(self.config.seed, "chunks", turn)
            history, log_priors = network.fit(net, copies, stage.topology.silent, config, chance, f"network {turn + 1}")
            for epoch, row in enumerate(history, start=1):
                log({"stage": NETWORK, "turn": turn + 1, "epoch": epoch, **row})
            if turn < config.realign:
                plain = frames[0] if corpus.plain is corpus.heard else corpus.plain.map(folder / "plain.f32", make)
                alignment = sentences.align(plain, partial(_likelihoods, network.Scorer(net), log_priors))
        assert stage.transform is not None and stage.topology.tree is not None, "it is one of triphones"
        save_file({**net.state_dict(), "log_priors": log_priors, "transform": stage.transform}, folder / WEIGHTS)
        stage.topology.tree.write(folder / TREE, stage.topology.units)
        for path in folder.glob("*.f32"):
            path.unlink()


def _likelihoods(score: network.Scorer, log_priors: Tensor, frames: Tensor, columns: Tensor) -> Tensor:
    """Scaled likelihoods: log p(x|s) = log p(s|x) - log p(s) + a constant (Bourlard and Morgan 1994)."""
    return (score(frames) - log_priors)[:, columns]
