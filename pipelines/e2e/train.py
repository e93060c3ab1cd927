"""Training of the end-to-end network."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pipelines import parallel, tensors
from pipelines.ahead import threads
from pipelines.ctc import features
from pipelines.ctc.board import check_board
from pipelines.ctc.checkpoint import Row
from pipelines.ctc.device import chosen_device
from pipelines.ctc.figures import head_figures
from pipelines.ctc.items import Item, Source, Stored
from pipelines.ctc.network import CANDIDATES, Network, report_size, score_all
from pipelines.ctc.scenes import Renderer, Scenes, no_labels
from pipelines.ctc.train import Training, log_priors
from pipelines.e2e.config import E2eConfig
from pipelines.e2e.labels import Labeller
from pipelines.e2e.pieces import learn_pieces, spell
from pipelines.e2e.recognizer import NETWORK, topology_of
from pipelines.e2e.tokens import Tokens, greedy
from pipelines.e2e.transfer import HEADS, UNITS, Start
from pipelines.packages import missing_packages
from pipelines.tuning import MOST_UTTERANCES, tune_weights
from pipelines.words import open_graph, open_lexicon, prepare_words, report_language_model
from speechbench.files import read_json, write_json
from speechbench.manifest import Manifest, Skipped
from speechbench.progress import say
from speechbench.run import Run
from speechbench.seeds import seed_of
from speechbench.torch_audio import torchaudio

FEATURES, CHECKPOINT = "features", "checkpoint.safetensors"
HEAD = "heads."  # before the names of the heads' weights
AT_ONCE = 256  # utterances of dev whose scores are in memory


def train(
    run: Run,
    config: E2eConfig,
    manifest: Manifest,
    dev: Manifest,
    skipped: Skipped,
    init: Start | None = None,
    renderer: Renderer | None = None,
) -> None:
    """Train into a run folder: network, language model, lexicon of spellings, and the decoding weights chosen on dev.

    Args:
        run: A new run, or one that was stopped; of several processes only the first writes into it.
        config: How.
        manifest: With texts.
        dev: With texts; the best epoch by WER and the decoding weights are chosen on it.
        skipped: Takes the utterances whose audio cannot be used or is too short for the text.
        init: A finished run with an encoder of the same kind and size, whose network is trained on.
        renderer: Lays other noise under the utterances in each epoch; without one they are heard as they are.

    Raises:
        SpeechbenchError: No utterance is left; `init` does not fit; TensorBoard is asked for and not installed.
    """
    folder, bands = run.path / FEATURES, config.encoder.bands
    check_board(config.training)
    if init is not None:
        init.check(config)
    labeller = Labeller.of(config.heads, manifest, dev, renderer) if config.heads.any else None
    if parallel.is_first():
        run.forget()  # what a training that was stopped had logged; the checkpoint knows its own
        texts = [u.text or "" for u in manifest]
        # A network that is trained on keeps its pieces: other counts of the same words would make others.
        keeps = init is not None and init.run.config.get("pieces", 0) == config.pieces
        pieces = init.units if init is not None and keeps else learn_pieces(texts, config.pieces)
        lexicon = prepare_words(run, config.language_model, texts, partial(spell, pieces=pieces))
        report_language_model(run, dev)
        write_json(run.path / UNITS, list(Tokens.of(lexicon).units))
        features.write(folder / "train", manifest, bands, config.speaker_frames, index_only=renderer is not None)
        features.write(folder / "dev", dev, bands, config.speaker_frames)
    parallel.wait()
    tokens = Tokens(tuple(read_json(run.path / UNITS)))
    source = _source(run, config, manifest, tokens, labeller, skipped, renderer)
    heard = features.read_items(folder / "dev", dev, tokens.numbers, config.silence, skipped)
    judge = _Judge(tokens, Stored(_labelled(heard, dev, labeller), features.read(folder / "dev", bands)))

    torch.manual_seed(seed_of(config.seed, "network"))
    network = Network(tokens.columns, config.encoder)
    if labeller is not None:
        network.heads.update(labeller.heads(network.width))  # after the rest, which is drawn alike with heads or without
    report_size(network, lambda row: _log(run, "size", row))
    if init is not None:
        row = init.apply(network, tokens.units, labeller.classes if labeller else None)
        _log(run, "transfer", row)
    training = Training(config.training, config.augment, config.seed, "e2e", judge, judge.heads)
    training.fit(network, source, lambda row: _log(run, "network", row), run.path / CHECKPOINT)
    if parallel.is_first():
        priors = log_priors(network, source)
        _save(run, network, priors, labeller)
        _choose_weights(run, config, network, priors, judge, dev)
        shutil.rmtree(folder)
        (run.path / CHECKPOINT).unlink()
    parallel.wait()


def _log(run: Run, stage: str, row: dict[str, Any]) -> None:
    if parallel.is_first():
        run.log(stage=stage, **row)


def _source(
    run: Run,
    config: E2eConfig,
    manifest: Manifest,
    tokens: Tokens,
    labeller: Labeller | None,
    skipped: Skipped,
    renderer: Renderer | None,
) -> Source:
    """What is trained on: features that lie ready, or scenes."""
    folder, bands = run.path / FEATURES / "train", config.encoder.bands
    log = partial(_log, run, "silence")
    found = features.read_fitting(folder, manifest, tokens.numbers, config.silence, skipped, log)
    items = _labelled(found, manifest, labeller)
    if renderer is None:
        return Stored(items, features.read(folder, bands), chosen_device(config.training.device).type == "cuda")
    label = labeller.of_scene if labeller else no_labels
    return Scenes(renderer, {item.id: item for item in items}, bands, skipped, config.speaker_frames, label)


def _labelled(items: Sequence[Item], manifest: Manifest, labeller: Labeller | None) -> Sequence[Item]:
    if labeller is None:
        return items
    by_id = manifest.by_id
    return [replace(item, labels=labeller.of_utterance(by_id[item.id], item.frames)) for item in items]


def _save(run: Run, network: Network, priors: Tensor, labeller: Labeller | None) -> None:
    """The network as it decodes; its heads in a file of their own, for a training that starts from this one."""
    state = network.state_dict()
    words = {name: value for name, value in state.items() if not name.startswith(HEAD)}
    tensors.save(run.path / NETWORK, {**words, "log_priors": priors})
    if labeller is not None:
        heads = {name.removeprefix(HEAD): value for name, value in state.items() if name.startswith(HEAD)}
        tensors.save(run.path / HEADS, heads, labeller.classes.facts())


@dataclass(frozen=True)
class _Errors:
    errors: int
    words: int


@dataclass(frozen=True)
class _Judge:
    """Counts the errors of a network's own text of dev."""

    tokens: Tokens
    dev: Stored

    def __call__(self, network: Network) -> _Errors:
        errors = words = 0
        for first in range(0, len(self.dev.items), AT_ONCE):
            items = self.dev.items[first : first + AT_ONCE]
            for item, scores in zip(items, self.scores(network, items), strict=True):
                said, heard = item.text.split(), greedy(scores, self.tokens).split()
                errors += torchaudio.functional.edit_distance(said, heard)
                words += len(said)
        return _Errors(errors, words)

    def heads(self, network: Network) -> Row:
        """The figures of a network's heads."""
        return head_figures(network, self.dev) if network.heads else {}

    def scores(self, network: Network, items: Sequence[Item]) -> list[Tensor]:
        """The network's scores of some of dev."""
        return score_all(network, [self.dev.heard(item) for item in items])


def _choose_weights(run: Run, config: E2eConfig, network: Network, priors: Tensor, judge: _Judge, dev: Manifest) -> None:
    """Choose the decoding weights on dev; without the graph's packages the first candidates are taken unseen."""
    weights = CANDIDATES.first
    if missing := missing_packages():
        say(f"{' and '.join(missing)} must be installed to choose decoding weights on dev; untried ones are taken: {weights}")
    else:
        graph = open_graph(run.path, topology_of(judge.tokens), open_lexicon(run.path))
        usable = {item.id: item for item in judge.dev.items}
        chosen = dev.select(lambda utterance: utterance.id in usable).sample(MOST_UTTERANCES, config.seed)
        scores = judge.scores(network, [usable[utterance.id] for utterance in chosen])
        scored = [(utterance.words, s.numpy()) for utterance, s in zip(chosen, scores, strict=True)]
        tuned = tune_weights(graph, scored, priors.numpy(), CANDIDATES, config.beam, threads())
        weights = tuned.weights
        for look in tuned.looks:
            run.log(stage="decoding", **look)
    write_json(run.path / "decoding.json", {**asdict(weights), "beam": config.beam})
