"""Does it help the words when the encoder learns phonemes, speakers, noise or SNR beside them, and does its size decide?

    python tests/benchmarks/multitask.py --train T.jsonl --dev D.jsonl --test E.jsonl --sizes 0.3M 1M --epochs 20 --out tasks

T.jsonl is what `synth` wrote, so that all labels are known. For each size: no head, each head alone, all heads, with the same
first weights, batches and masks. The figures of the heads are dev's at the last look; dev has other speakers than the training
set, so that the speaker head has none.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from transfer import curve, errors, train

from speechbench.run import Run

HEADS = ("phonemes", "speaker", "condition", "snr")


def figures(run: Path) -> str:
    """What the heads tell of dev at the last look."""
    last = [row for row in Run.open(run).metrics() if row["stage"] == "network" and "dev_greedy_wer" in row][-1]
    told = {key.removeprefix("dev_"): value for key, value in last.items() if key.startswith(tuple(f"dev_{h}_" for h in HEADS))}
    return ", ".join(f"{name} {value:.3g}" for name, value in told.items() if value is not None)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("--train", "--dev", "--test", "--out"):
        parser.add_argument(name, type=Path, required=True)
    parser.add_argument("--sizes", nargs="+", default=["0.3M", "1M"])
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--weight", type=float, default=0.3, help="of each head's loss")
    parser.add_argument("--init-from", type=Path, help="a run of the one size, whose network each training starts from")
    parser.add_argument("--set", action="append", default=[], help="of all trainings")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    print(
        "| size | heads | processor s | greedy WER of dev along the way, % | greedy | with lexicon and 3-gram | heads on dev |"
    )
    print("|---|---|---|---|---|---|---|")
    for size in given.sizes:
        for heads in [(), *((name,) for name in HEADS), HEADS]:
            run = given.out / f"{size}-{'-'.join(heads) or 'none'}"
            settings = [f"encoder.size={size}", *given.set, *(f"heads.{name}={given.weight}" for name in heads)]
            flags = [part for setting in settings for part in ("--set", setting)]
            flags += ["--init-from", given.init_from] if given.init_from else []
            seconds = train(run, given.train, given.dev, given.epochs, *flags)
            own, with_graph = errors(run, given.test)
            row = (size, " + ".join(heads) or "none", f"{seconds:.0f}", curve(run), own, with_graph, figures(run) or "-")
            print(f"| {' | '.join(map(str, row))} |", flush=True)


if __name__ == "__main__":
    main()
