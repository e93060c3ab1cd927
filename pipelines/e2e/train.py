"""Training of the end-to-end network."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from pipelines.batches import extract, length_batches, pad
from pipelines.e2e.augment import augment
from pipelines.e2e.config import E2eConfig
from pipelines.e2e.network import Network, steps_of
from pipelines.e2e.recognizer import CANDIDATES, NETWORK, Tokens, front_end, greedy, score_all
from pipelines.schedule import one_cycle
from pipelines.tuning import MOST_UTTERANCES, tune_weights
from pipelines.words import open_graph, prepare_words, report_language_model
from speechbench.errors import AudioError, SpeechbenchError, name_some
from speechbench.files import read_json, write_json
from speechbench.lexicon import spell
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.progress import say, time_left
from speechbench.run import Run
from speechbench.score import Counts, align, count
from speechbench.seeds import generator_of, seed_of

LOOK_EVERY = 5  # epochs between two looks at dev
PRIOR_UTTERANCES = 200  # of train, over which the tokens' priors are averaged


@dataclass(frozen=True)
class Item:
    """One utterance with its features (T, F) and, for training, its token numbers (U,)."""

    utterance: Utterance
    features: Tensor
    tokens: Tensor


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
    lexicon = prepare_words(run, config.language_model, [u.text or "" for u in manifest], spell)
    report_language_model(run, dev)
    tokens = Tokens.of(lexicon)
    write_json(run.path / "units.json", list(tokens.units))
    items = _fitting(manifest, _load(manifest, tokens, config, skipped, "features of train"), skipped)
    dev_items = _load(dev, tokens, config, skipped, "features of dev")

    torch.manual_seed(seed_of(config.seed, "network"))
    network = Network(tokens.topology.columns, config.encoder)
    if init is not None:
        network.load_state_dict(_weights_of(init, config, tokens))
    _fit(run, config, network, tokens, items, dev_items)
    sample = items[:: max(1, len(items) // PRIOR_UTTERANCES)]
    log_priors = torch.cat(score_all(network, [item.features for item in sample])).exp().mean(0).clamp_min(1e-6).log()
    save_file({**network.state_dict(), "log_priors": log_priors}, run.path / NETWORK)

    graph = open_graph(run.path, tokens.topology, lexicon)
    usable = {item.utterance.id: item for item in dev_items}
    chosen = dev.select(lambda utterance: utterance.id in usable).sample(MOST_UTTERANCES, config.seed)
    scores = score_all(network, [usable[utterance.id].features for utterance in chosen])
    scored = [(utterance.words, s.numpy()) for utterance, s in zip(chosen, scores, strict=True)]
    weights, looks = tune_weights(graph, scored, log_priors.numpy(), CANDIDATES, config.beam)
    for look in looks:
        run.log(stage="decoding", **look)
    write_json(run.path / "decoding.json", {**asdict(weights), "beam": config.beam})


def _weights_of(init: Run, config: E2eConfig, tokens: Tokens) -> dict[str, Tensor]:
    """The network of a finished run, if it is of this size and alphabet."""
    if init.mode != "e2e":
        raise SpeechbenchError(f"{init.path}: is a {init.mode} run; name one of --mode e2e to start from")
    units = tuple(read_json(init.path / "units.json"))
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
    items = [Item(utterance, features, tokens.numbers(utterance.words)) for utterance, features in pairs]
    if not items:
        raise SpeechbenchError(f"{manifest.name}: no utterance can be used: {skipped.reasons[manifest.utterances[0].id]}")
    return items


def _fitting(manifest: Manifest, items: list[Item], skipped: Skipped) -> list[Item]:
    """Leave out, by name, utterances with more tokens than steps: CTC gives them no path and an infinite loss."""
    kept: list[Item] = []
    for item in items:
        repeats = int((item.tokens[1:] == item.tokens[:-1]).sum())  # a blank must stand between equal tokens
        steps = int(steps_of(torch.tensor(len(item.features))))
        if steps >= len(item.tokens) + repeats:
            kept.append(item)
        else:
            skipped.add(item.utterance.id, AudioError(f"{steps} steps are too few for '{item.utterance.text}'"))
    if not kept:
        raise SpeechbenchError(f"{manifest.name}: no utterance is left to train on")
    return kept


def _fit(run: Run, config: E2eConfig, network: Network, tokens: Tokens, items: list[Item], dev: list[Item]) -> None:
    settings = config.training
    epochs = [
        length_batches(
            [len(item.features) for item in items],
            round(settings.batch_seconds * 100),
            generator_of(config.seed, "batches", epoch),
        )
        for epoch in range(settings.epochs)
    ]
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = one_cycle(optimizer, settings.learning_rate, sum(map(len, epochs)), settings.warmup)
    seconds = sum(len(item.features) for item in items) / 100
    best: tuple[float, dict[str, Tensor]] | None = None
    start = time.monotonic()
    for epoch, batches in enumerate(epochs, start=1):
        torch.manual_seed(seed_of(config.seed, "epoch", epoch))
        network.train()
        losses = [_step(network, [items[i] for i in batch], config, optimizer, schedule) for batch in batches]
        row: dict[str, float] = {"epoch": epoch, "loss": sum(losses) / len(losses)}
        if epoch % LOOK_EVERY == 0 or epoch == len(epochs):
            total = _greedy_counts(network, tokens, dev)
            row["dev_greedy_wer"] = total.rate
            if best is None or total.rate <= best[0]:
                best = total.rate, {name: value.clone() for name, value in network.state_dict().items()}
        run.log(stage="network", **row)
        spent = time.monotonic() - start
        wer = f", greedy WER of dev {100 * row['dev_greedy_wer']:.1f} %" if "dev_greedy_wer" in row else ""
        say(
            f"epoch {epoch} of {len(epochs)}: loss {row['loss']:.3f}{wer}, {seconds * epoch / spent:.0f} x real time, "
            f"{time_left(spent / epoch * (len(epochs) - epoch))} left"
        )
    assert best is not None
    network.load_state_dict(best[1])
    network.eval()


def _step(
    network: Network,
    items: list[Item],
    config: E2eConfig,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
) -> float:
    features, lengths = pad([augment(item.features, config.augment) for item in items])
    scores, steps = network(features, lengths)
    targets = torch.cat([item.tokens for item in items])
    sizes = torch.tensor([len(item.tokens) for item in items])
    # A stretch can leave too few steps for a text that fits barely; such a loss would be infinite and is left out.
    loss = nn.functional.ctc_loss(scores.transpose(0, 1), targets, steps, sizes, reduction="none", zero_infinity=True)
    loss = (loss / sizes).mean()
    if not torch.isfinite(loss):
        raise SpeechbenchError(f"the loss is not finite at {name_some(i.utterance.id for i in items)}; lower the learning rate")
    optimizer.zero_grad(set_to_none=True)
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(network.parameters(), config.training.gradient_norm)
    optimizer.step()
    schedule.step()
    return float(loss.detach())


def _greedy_counts(network: Network, tokens: Tokens, items: list[Item]) -> Counts:
    scores = score_all(network, [item.features for item in items])
    pairs = zip(items, scores, strict=True)
    return sum((count(align(item.utterance.words, greedy(s, tokens).split())) for item, s in pairs), Counts())
