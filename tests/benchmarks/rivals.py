"""How well others recognise, and ours: SphinxTrain and pocketsphinx (Debian's) on the same data, lexicon and language model.

    python tests/benchmarks/rivals.py folds --out folds [--data data]
    python tests/benchmarks/rivals.py measure --folds folds --out rivals
    python tests/benchmarks/rivals.py table --folds folds --out rivals [--ours NAME=HYPOTHESES]

`measure` goes on where it was stopped. HYPOTHESES is where `speechbench decode` wrote what another run of ours heard, for
example "runs/{corpus}-{fold}/hypotheses/{condition}.jsonl"; a condition is clean, noisy-10 or noisy-5.

Needs: apt-get install sphinxtrain pocketsphinx pocketsphinx-en-us sphinxbase-utils
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import rivals_folds
import rivals_ours
import rivals_table
from rivals_decode import EN_US, Search, decode, timing
from rivals_folds import CONDITIONS, fold_path
from rivals_input import Audio, Settings, write_audio, write_dictionary
from rivals_sphinx import Trainer

from speechbench import files, manifest
from speechbench.errors import SpeechbenchError, unknown_name
from speechbench.lexicon import read_lexicon
from speechbench.manifest import Manifest
from speechbench.progress import say
from speechbench.recognizer import Hypothesis, write_hypotheses
from speechbench.score import Counts, score

CORPORA = tuple(rivals_folds.DEV_UTTERANCES)
SETTINGS = {
    "picovoice_intent": Settings(senones=200),
    "fsdd": Settings(band="telephone", senones=100, gaussians=4, mean="live"),
}
TRAINING = {"sphinxtrain": "train.jsonl", "sphinxtrain-car": "car/train/manifest.jsonl", "pocketsphinx-en-us": None}
SYSTEMS = (*TRAINING, *rivals_ours.SYSTEMS)
# Tuned on dev one after the other, the recipe's value first, which stays where others are no better.
LANGUAGE_WEIGHTS, INSERTIONS = (10.0, 6.5, 15.0), (0.65, 0.2)


class Bench:
    """One fold of one corpus: its sets as Sphinx wants them, and what is measured on them."""

    def __init__(self, folds: Path, out: Path, corpus: str, fold: int) -> None:
        self.corpus, self.fold = corpus, fold
        self.folder, self.out = fold_path(folds, corpus, fold), fold_path(out, corpus, fold)
        self.lexicon = read_lexicon(self.folder / "lexicon.txt")

    def read(self, name: str) -> tuple[Manifest, Audio]:
        """A set of the fold by its path in the fold, and its audio for Sphinx."""
        data = manifest.read(self.folder / name)
        return data, write_audio(data, self.out / "audio" / name.partition(".")[0])

    def measure(self, system: str, processes: int) -> dict[str, Any]:
        """Train where there is something to train, tune, test; the result is a JSON document."""
        folder, training = self.out / system, None
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        if (name := TRAINING[system]) is None:
            models = {0: EN_US}  # its number of Gaussians is not ours to choose
            write_dictionary(self.lexicon, folder)
        else:
            models, training = self._train(folder, name, processes)
        tuned = {dev: self._tune(system, models, dev) for dev in dict.fromkeys(dev for _, dev in CONDITIONS.values())}
        tests = {}
        for condition, (test, dev) in CONDITIONS.items():
            gaussians, search = tuned[dev]
            with timing() as times:
                counts, seconds = self._test(system, models[gaussians], search, test, condition)
            tests[condition] = {
                **asdict(counts),
                **({"gaussians": gaussians} if gaussians else {}),
                **asdict(search),
                "audio_seconds": round(seconds, 1),
                "cpu_seconds": round(times.cpu, 2),
            }
            say(f"{self.corpus} {self.fold} {system} {condition}: %WER {counts}")
        return {"corpus": self.corpus, "fold": self.fold, "system": system, "training": training, "tests": tests}

    def _train(self, folder: Path, name: str, processes: int) -> tuple[dict[int, Path], dict[str, Any]]:
        """Models by their number of Gaussians, and the time it took."""
        settings = SETTINGS[self.corpus]
        data, audio = self.read(name)
        with timing() as times:
            Trainer(folder, audio, settings, processes).train([u.text or "" for u in data], self.lexicon)
        took = {"processes": processes, "audio_seconds": round(audio.seconds, 1)}
        took |= {"wall_seconds": round(times.wall, 1), "cpu_seconds": round(times.cpu, 1)}
        counts = [2**power for power in range(settings.gaussians.bit_length())][::-1]
        return {count: folder / f"model-{count}" for count in counts}, took

    def _tune(self, system: str, models: Mapping[int, Path], dev: str) -> tuple[int, Search]:
        """The number of Gaussians, then each weight, with the fewest errors on dev."""
        best = (next(iter(models)), Search(LANGUAGE_WEIGHTS[0], INSERTIONS[0]))
        errors: dict[tuple[int, Search], int] = {}

        def cost(choice: tuple[int, Search]) -> int:
            if choice not in errors:
                errors[choice] = self._test(system, models[choice[0]], choice[1], dev, "dev")[0].errors
            return errors[choice]

        best = min(((gaussians, best[1]) for gaussians in models), key=cost)
        best = min(((best[0], replace(best[1], language_weight=weight)) for weight in LANGUAGE_WEIGHTS), key=cost)
        return min(((best[0], replace(best[1], insertion=factor)) for factor in INSERTIONS), key=cost)

    def _test(self, system: str, model: Path, search: Search, name: str, condition: str) -> tuple[Counts, float]:
        """Counts of a set, and its seconds."""
        data, audio = self.read(name)
        folder = self.out / system
        found = decode(model, self.folder / "lm.arpa", folder, audio, search, folder / f"{condition}.txt")
        write_hypotheses(folder / f"{condition}.jsonl", (Hypothesis(*pair) for pair in found.items()))
        return score({u.id: u.text or "" for u in data}, found).total, audio.seconds


def measure(folds: Path, out: Path, corpus: str, fold: int, system: str, processes: int) -> None:
    """Measure a system on a fold, where that is not done yet."""
    path = rivals_table.result_path(out, corpus, fold, system)
    if path.is_file():
        return
    if system in rivals_ours.SYSTEMS:
        found = rivals_ours.measure(system, fold_path(folds, corpus, fold), fold_path(out, corpus, fold) / system)
        found = {"corpus": corpus, "fold": fold, "system": system, **found}
    elif system in TRAINING:
        found = Bench(folds, out, corpus, fold).measure(system, processes)
    else:
        raise unknown_name("system", system, SYSTEMS)
    files.write_json(path, found)


def main() -> None:
    """Parse and do."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["folds", "measure", "table"])
    parser.add_argument("--data", type=Path, default=Path("data"), help="corpora, each in a folder of its name")
    parser.add_argument("--folds", type=Path, help="what `folds` made")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--corpora", default=",".join(CORPORA))
    parser.add_argument("--numbers", default="0,1,2,3,4", help="of folds")
    parser.add_argument("--systems", default=",".join(SYSTEMS))
    parser.add_argument("--processes", type=int, default=2, help="of SphinxTrain's Baum-Welch")
    parser.add_argument("--ours", action="append", default=[], metavar="NAME=HYPOTHESES", help="a column more in the table")
    given = parser.parse_args()
    corpora, numbers = given.corpora.split(","), [int(number) for number in given.numbers.split(",")]
    try:
        if given.action == "folds":
            rivals_folds.make(given.data, given.out, corpora, numbers)
        elif given.folds is None:
            parser.error(f"{given.action} needs --folds")
        elif given.action == "measure":
            for fold in numbers:
                for corpus in corpora:
                    for system in given.systems.split(","):
                        measure(given.folds, given.out, corpus, fold, system, given.processes)
        else:
            ours = dict(part.split("=", 1) for part in given.ours)
            document = rivals_table.summarise(given.folds, given.out, numbers, ours)
            files.write_json(given.out / "table.json", document)
            print(rivals_table.markdown(document))
    except SpeechbenchError as error:
        raise SystemExit(f"error: {error}") from error


if __name__ == "__main__":
    main()
