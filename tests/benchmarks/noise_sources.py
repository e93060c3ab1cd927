"""What a small noise set costs: the same speech over 1 to 64 noise sources, and over noise that is used 1 to 64 times.

Every training has the same utterances at the same SNRs and the same language model; only the noise under them differs. Each is
tested on the same other utterances, of speakers that no training heard, under four noises: the very seconds that were trained
on ("heard"), other stretches of the same sources ("seen"), 32 other sources ("unseen"), and none ("clean").

Run: python tests/benchmarks/noise_sources.py --out study [--noise RECORDINGS.jsonl] [--docs docs/noise-budget.md]
After a stop the same command goes on: what stands in study/results.jsonl is not trained again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import noise_sources_table as table
import torch
from noise_sources_sets import (
    CLEAN,
    UNSEEN_SOURCES,
    Study,
    mix_kind,
    mix_unseen,
    read_speech,
    sources_of,
    speak,
    tests_of,
    training_of,
)
from noise_sources_table import Cell

from pipelines.e2e.transfer import Start
from pipelines.modes import mode_of, open_recognizer
from speechbench import config, files, jobs
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Skipped
from speechbench.progress import say, time_left
from speechbench.recognizer import write_hypotheses
from speechbench.run import Run

# Small, so that a cell takes a minute or two. End to end goes on from one network that has learnt clean speech: from scratch
# it would need many more epochs of noisy speech.
SETTINGS = {
    "pipeline": ("gmm.iterations=2", "network.width=192", "network.epochs=3"),
    "e2e": ("training.epochs=5", "training.batch_seconds=10"),
}
START = ("training.epochs=12", "training.batch_seconds=10")
START_RUN = Path("runs") / "e2e-start"
CELL_SECONDS = {"pipeline": 3.2, "e2e": 3.0}  # of one core for a minute of speech, tests included, measured


def cells_of(study: Study) -> list[Cell]:
    """All trainings, those of one seed together; training without noise is done once, to compare with."""
    clean = [Cell(mode, CLEAN, 0) for mode in study.modes]
    return clean + [Cell(mode, kind, seed) for seed in range(study.seeds) for kind in study.kinds for mode in study.modes]


def train(
    mode: str, sets: dict[str, Manifest], settings: Sequence[str], seed: int, out: Path, init: Start | None = None
) -> Run:
    """A finished run; one that is there already is taken."""
    if files.is_finished(out, "run"):
        return Run.open(out)
    chosen = mode_of(mode)
    made = config.load(chosen.config, None, [*settings, f"seed={seed}"])
    files.claim(out, overwrite=True)
    with files.making(out, "run"):
        run = Run.create(out, mode, made, seed, sets)
        started = {} if init is None else {"init": init}
        skipped = Skipped()
        chosen.train(run, made, sets["train"], sets["train-dev"], skipped, **started)
        skipped.close(sum(map(len, sets.values())), out / "skipped.jsonl")
        run.finish()
    return run


def run_cell(study: Study, cell: Cell) -> None:
    """Train and test one cell, and add its line to results.jsonl."""
    start = time.monotonic()
    init = Start(Run.open(study.out / START_RUN)) if cell.mode == "e2e" else None
    sets = training_of(study.out, cell.kind, cell.seed)
    out = study.out / "runs" / cell.name
    recognizer = open_recognizer(train(cell.mode, sets, SETTINGS[cell.mode], cell.seed, out, init))
    for name, data in tests_of(study.out, cell.kind, cell.seed).items():
        skipped = Skipped()
        write_hypotheses(out / "hypotheses" / f"{name}.jsonl", recognizer.transcribe(data, skipped))
        skipped.close(len(data))
    row = table.row_of(study.out, cell, round(time.monotonic() - start, 1))
    with (study.out / table.RESULTS).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(row) + "\n")
    say(f"{cell.name}: " + ", ".join(f"{name} {100 * counts['rate']:.1f} %" for name, counts in row["sets"].items()))


def run(study: Study, worker_count: int) -> None:
    """The whole study, as far as it is not there yet.

    Raises:
        SpeechbenchError: The folder holds a study with other settings.
    """
    _same_study(study)
    done = table.finished(study.out)
    files.write_json_lines(study.out / table.RESULTS, done.values())  # without a line that a kill cut off
    cells = cells_of(study)
    left = [cell for cell in cells if cell.name not in done]
    seconds = sum(CELL_SECONDS[cell.mode] * study.minutes for cell in left) / worker_count
    say(f"{len(left)} of {len(cells)} cells are left, about {time_left(seconds)} on cores of their own")
    make_sets(study, left, worker_count)
    if any(cell.mode == "e2e" for cell in left):
        speech = training_of(study.out, CLEAN, 0)
        train("e2e", speech, START, 0, study.out / START_RUN)
    start = time.monotonic()
    for number, _ in enumerate(jobs.run(partial(run_cell, study), left, worker_count), start=1):
        each = (time.monotonic() - start) / number
        say(f"{number} of {len(left)} cells are done, about {time_left(each * (len(left) - number))} left")


def make_sets(study: Study, left: Sequence[Cell], worker_count: int) -> None:
    """The speech, the noise, and what the cells train on and are tested on."""
    speak(study)
    for seed in range(study.seeds):
        sources_of(study, seed)
    mix_unseen(study)
    kinds = list(dict.fromkeys((cell.kind, cell.seed) for cell in left if cell.kind != CLEAN))
    deque(jobs.run(partial(mix_kind, study), kinds, worker_count), maxlen=0)


def _same_study(study: Study) -> None:
    """Modes and seeds may be added to a study; anything else would compare what differs in more than its noise."""
    path = study.out / "study.json"
    settings = json.loads(json.dumps({**asdict(study), "modes": None, "seeds": None}, default=str))
    if path.is_file() and files.read_json(path) != settings:
        raise SpeechbenchError(f"{study.out}: holds a study with other settings ({path}); name another folder with --out")
    files.write_json(path, settings)


def main() -> None:
    """Parse, run, summarise."""
    numbers = partial(_listed, int)
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the study")
    parser.add_argument("--sources", type=numbers, default=(1, 2, 4, 16, 64), help="each second of their noise is used once")
    parser.add_argument("--uses", type=numbers, default=(1, 4, 16, 64), help="of each second of noise")
    parser.add_argument("--uses-sources", type=int, default=16, help="sources while --uses varies")
    parser.add_argument("--modes", type=partial(_listed, str), default=("pipeline", "e2e"))
    parser.add_argument("--seeds", type=int, default=2, help="each draws other sources and starts the networks elsewhere")
    parser.add_argument("--minutes", type=float, default=24.0, help="of speech to train on")
    parser.add_argument("--snr", type=partial(_listed, float), default=(-5.0, 5.0), help="LOW,HIGH in dB")
    parser.add_argument("--noise", type=Path, help="manifest of recordings with 'source', instead of procedural cars")
    parser.add_argument("--jobs", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--docs", type=Path, help="Markdown file whose section of the study is written anew")
    given = vars(parser.parse_args())
    worker_count, docs = given.pop("jobs"), given.pop("docs")
    if given["noise"] is not None:
        given["uses"] = ()  # recordings are what they are: few last long enough for each second to be used once
    torch.set_num_threads(1)  # of this process; `jobs` sees to the others
    try:
        report(Study(**given), worker_count, docs)
    except SpeechbenchError as error:
        raise SystemExit(f"error: {error}") from error


def report(study: Study, worker_count: int, docs: Path | None) -> None:
    """Run the study, print its tables, and write them to results.json and into a document."""
    run(study, worker_count)
    document = table.summarise(study.out)
    files.write_json(study.out / "results.json", {"study": asdict(study), **document})
    text = f"{describe(study)}\n\n{table.markdown(document)}"
    print(text)
    if docs is not None:
        table.write_section(docs, "recordings" if study.noise else "cars", text)


def describe(study: Study) -> str:
    """What was done, for a reader of the tables."""
    speech = read_speech(study)
    train, test = speech["train"], speech["test"]
    trained, tested = (len({utterance.speaker for utterance in part}) for part in (train, test))
    words = sum(len(utterance.words) for utterance in test)
    return (
        f"{train.seconds / 60:.1f} minutes of speech by {trained} voices; SNR {study.snr[0]:g} to {study.snr[1]:g} dB; "
        f"tested on {len(test)} utterances ({words} words) by {tested} other voices; {UNSEEN_SOURCES} unseen sources."
    )


def _listed(kind: Callable[[str], Any], text: str) -> tuple[Any, ...]:
    return tuple(map(kind, text.split(",")))


if __name__ == "__main__":
    main()
