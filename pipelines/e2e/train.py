"""Training of the end-to-end network."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from pipelines.batches import extract
from pipelines.ctc.network import CANDIDATES, Network, report_size, score_all
from pipelines.ctc.train import Item, Training, fitting, log_priors
from pipelines.e2e.config import E2eConfig
from pipelines.e2e.pieces import learn_pieces, spell
from pipelines.e2e.recognizer import NETWORK, Tokens, front_end, greedy
from pipelines.tuning import MOST_UTTERANCES, tune_weights
from pipelines.words import open_graph, prepare_words, report_language_model
from speechbench.errors import SpeechbenchError, name_some
from speechbench.files import read_json, write_json
from speechbench.manifest import Manifest, Skipped
from speechbench.run import Run
from speechbench.score import Counts, align, count
from speechbench.seeds import seed_of

UNITS = "units.json"


def train(run: Run, config: E2eConfig, manifest: Manifest, dev: Manifest, skipped: Skipped, init: Run | None = None) -> None:
    """Train into a run folder: network, language model, lexicon of spellings, and the decoding weights chosen on dev.

    Args:
        run: A new run.
        config: How.
        manifest: With texts.
        dev: With texts; the best epoch by WER and the decoding weights are chosen on it.
        skipped: Takes the utterances whose audio cannot be used or is too short for the text.
        init: A finished run of the same size and alphabet, whose network is trained on.

    Raises:
        SpeechbenchError: No utterance is left; `init` does not fit.
    """
    texts = [u.text or "" for u in manifest]
    # A network that is trained on keeps its pieces: other counts of the same words would make others.
    pieces = learn_pieces(texts, config.pieces) if init is None else read_json(init.path / UNITS)
    lexicon = prepare_words(run, config.language_model, texts, partial(spell, pieces=pieces))
    report_language_model(run, dev)
    tokens = Tokens.of(lexicon)
    write_json(run.path / UNITS, list(tokens.units))
    items = fitting(_load(manifest, tokens, config, skipped, "features of train"), manifest.name, skipped)
    dev_items = _load(dev, tokens, config, skipped, "features of dev")

    torch.manual_seed(seed_of(config.seed, "network"))
    network = Network(tokens.topology.columns, config.encoder)
    report_size(network, lambda row: run.log(stage="size", **row))
    if init is not None:
        network.load_state_dict(_weights_of(init, config, tokens))
    judge = partial(_greedy_counts, tokens=tokens, items=dev_items)
    training = Training(config.training, config.augment, config.seed, "wer", judge)
    training.fit(network, items, lambda row: run.log(stage="network", **row))
    priors = log_priors(network, items)
    save_file({**network.state_dict(), "log_priors": priors}, run.path / NETWORK)

    graph = open_graph(run.path, tokens.topology, lexicon)
    usable = {item.id: item for item in dev_items}
    chosen = dev.select(lambda utterance: utterance.id in usable).sample(MOST_UTTERANCES, config.seed)
    scores = score_all(network, [usable[utterance.id].features() for utterance in chosen])
    scored = [(utterance.words, s.numpy()) for utterance, s in zip(chosen, scores, strict=True)]
    weights, looks = tune_weights(graph, scored, priors.numpy(), CANDIDATES, config.beam)
    for look in looks:
        run.log(stage="decoding", **look)
    write_json(run.path / "decoding.json", {**asdict(weights), "beam": config.beam})


def _weights_of(init: Run, config: E2eConfig, tokens: Tokens) -> dict[str, Tensor]:
    """The network of a finished run, if it is of this size and alphabet."""
    if init.mode != "e2e":
        raise SpeechbenchError(f"{init.path}: is a {init.mode} run; name one of --mode e2e to start from")
    units = tuple(read_json(init.path / UNITS))
    if units != tokens.units:
        odd = name_some(repr(unit) for unit in sorted(set(units) ^ set(tokens.units)))
        raise SpeechbenchError(f"{init.path}: its alphabet differs from the training texts' in {odd}; train from scratch")
    if init.config["encoder"] != asdict(config.encoder):
        raise SpeechbenchError(
            f"{init.path}: its [encoder] is {init.config['encoder']}; set the same one, or train from scratch"
        )
    state = load_file(init.path / NETWORK)
    del state["log_priors"]
    return state


def _load(manifest: Manifest, tokens: Tokens, config: E2eConfig, skipped: Skipped, label: str) -> list[Item]:
    pairs = extract(manifest, front_end(config.encoder.bands), skipped, label)
    items = [
        Item(utterance.id, utterance.text or "", len(features), partial(_same, features), tokens.numbers(utterance.words))
        for utterance, features in pairs
    ]
    if not items:
        raise SpeechbenchError(f"{manifest.name}: no utterance can be used: {skipped.reasons[manifest.utterances[0].id]}")
    return items


def _same(features: Tensor) -> Tensor:
    return features


def _greedy_counts(network: Network, tokens: Tokens, items: list[Item]) -> Counts:
    scores = score_all(network, [item.features() for item in items])
    pairs = zip(items, scores, strict=True)
    return sum((count(align(item.text.split(), greedy(s, tokens).split())) for item, s in pairs), Counts())
