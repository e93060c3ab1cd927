"""Training with Debian's SphinxTrain: its programs in the order of its own recipe, whose scripts the package leaves out.

Features -> flat start -> Baum-Welch of phonemes -> Baum-Welch of all triphones -> questions and decision trees -> tied states
-> Baum-Welch of these, with 1, 2, 4, ... Gaussians each. Settings are the recipe's but for the number of states, which
follows the amount of speech, the convergence (below), and the limits of the trees: near those that bldtree itself suggests.

Source: the configuration template and scripts of SphinxTrain 5prealpha (github.com/cmusphinx/sphinxtrain, etc and scripts).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rivals_input import SILENCE, Audio, Settings, trainable, write_dictionary

from speechbench.errors import SpeechbenchError
from speechbench.lexicon import Lexicon

PROGRAMS = Path("/usr/lib/sphinxtrain")
STATES = 3
# Of log-likelihood a frame; below it, Baum-Welch has converged. The recipe's 0.1 is too early for so little speech: on a fold
# of commands it made 35 errors where this makes 28.
LEAST_GAIN = 0.01
MOST_ITERATIONS = 10
PARAMETERS = ("means", "variances", "mixture_weights", "transition_matrices")
FLAGS = {"means": "meanfn", "variances": "varfn", "mixture_weights": "mixwfn", "transition_matrices": "tmatfn"}
# How much the other states of a triphone count when one state's tree is grown.
STATE_WEIGHTS = ("1.0,0.3,0.1", "0.3,1.0,0.3", "0.1,0.3,1.0")


@dataclass(frozen=True)
class Trainer:
    """One training, in a folder of its own; the final models are in `model-1`, `model-2`, ... by number of Gaussians."""

    folder: Path
    audio: Audio
    settings: Settings
    processes: int = 2

    def train(self, texts: Iterable[str], lexicon: Lexicon) -> None:
        """Train all stages.

        Args:
            texts: Of the audio, in its order.
            lexicon: Pronunciations of all words.

        Raises:
            SpeechbenchError: A program failed; its log is named.
        """
        for name in ("cepstra", "logs", "trees", "pruned", *(f"part-{part}" for part in range(1, self.processes + 1))):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        learnt = trainable(lexicon)
        phonemes = sorted({phoneme for variants in learnt.values() for phoneme in variants[0]} | {SILENCE})
        write_dictionary(learnt, self.folder)
        lines = (f"<s> {text} </s> ({number})\n" for number, text in enumerate(texts))
        (self.folder / "transcripts").write_text("".join(lines))
        (self.folder / "phonemes").write_text("".join(f"{phoneme}\n" for phoneme in phonemes))
        (self.folder / "phonelist").write_text("".join(f"{phoneme} - - -\n" for phoneme in phonemes))
        self._extract()
        self._start_flat(len(phonemes))
        self._baum_welch("ci", "ci.mdef", 1)
        if self.settings.context:
            self._tie([phoneme for phoneme in phonemes if phoneme != SILENCE])
        self._grow("tied.mdef" if self.settings.context else "ci.mdef")

    def _extract(self) -> None:
        source = ("-di", self.audio.folder, "-ei", "raw", "-raw", "yes", "-c", self.audio.control)
        target = ("-do", self.folder / "cepstra", "-eo", "mfc")
        size = -(-len(self.audio.ids) // self.processes)
        parts = [("-nskip", part * size, "-runlen", size) for part in range(self.processes)]
        with ThreadPoolExecutor(self.processes) as pool:
            list(
                pool.map(lambda part: self._run("/usr/bin/sphinx_fe", *source, *target, *self.settings.front_end, *part), parts)
            )

    def _start_flat(self, phonemes: int) -> None:
        """All states alike: the mean and variance of all frames."""
        topology = [f"{STATES + 1}"] + [
            " ".join("1.0" if to in (state, state + 1) else "0.0" for to in range(STATES + 1)) for state in range(STATES)
        ]
        (self.folder / "topology").write_text("0.1\n" + "\n".join(topology) + "\n")
        self._run("mk_mdef_gen", "-phnlstfn", self._at("phonelist"), "-ocimdef", self._at("ci.mdef"), "-n_state_pm", STATES)
        flat = self._model("ci-0")
        weights = ("-mixwfn", flat / "mixture_weights", "-tmatfn", flat / "transition_matrices")
        shape = ("-topo", self._at("topology"), "-nstream", 1, "-ndensity", 1)
        self._run("mk_flat", "-moddeffn", self._at("ci.mdef"), *shape, *weights)
        read = (*self._cepstra, "-part", 1, "-npart", 1, "-accumdir", self._at("part-1"))
        self._run("init_gau", *read)
        self._run("norm", "-accumdir", self._at("part-1"), "-meanfn", flat / "global_mean")
        self._run("init_gau", *read, "-meanfn", flat / "global_mean")
        self._run("norm", "-accumdir", self._at("part-1"), "-varfn", flat / "global_variance")
        self._at("copies").write_text("".join(f"{state}\t0\n" for state in range(phonemes * STATES)))
        for name, to in (("global_mean", "means"), ("global_variance", "variances")):
            operation = ("-cpopsfn", self._at("copies"), "-ncbout", phonemes * STATES)
            self._run("cp_parm", *operation, "-igaufn", flat / name, "-ogaufn", flat / to)

    def _tie(self, phonemes: list[str]) -> None:
        """Train a model of all triphones, grow trees from it, and prune them all to the senones wanted: the tied states."""
        dictionary = ("-dictfn", self._at("dictionary"), "-fdictfn", self._at("fillers"), "-n_state_pm", STATES)
        heard = ("-lsnfn", self._at("transcripts"), "-ountiedmdef", self._at("untied.mdef"))
        self._run("mk_mdef_gen", *dictionary, "-phnlstfn", self._at("phonemes"), *heard)
        self._copy("ci", "ci.mdef", "untied-0", "untied.mdef")
        self._baum_welch("untied", "untied.mdef", 1)
        self._grow_trees(phonemes)
        self._run("mk_mdef_gen", *dictionary, "-phnlstfn", self._at("phonelist"), "-oalltphnmdef", self._at("all.mdef"))
        questions = ("-psetfn", self._at("questions"))
        trees = ("-itreedir", self._at("trees"), "-otreedir", self._at("pruned"), "-nseno", self.settings.senones, "-minocc", 0)
        self._run("prunetree", "-moddeffn", self._at("all.mdef"), *questions, *trees)
        definitions = ("-imoddeffn", self._at("all.mdef"), "-omoddeffn", self._at("tied.mdef"))
        self._run("tiestate", *definitions, *questions, "-treedir", self._at("pruned"))

    def _grow_trees(self, phonemes: list[str]) -> None:
        """Make questions by clustering the phonemes, and grow a tree for each state of each phoneme."""
        files = ("meanfn", "varfn", "mixwfn")
        questions = self._at("questions")
        ci = ("-moddeffn", self._at("ci.mdef"), *_parameters(self._model("ci"), "", files))
        clustering = ("-niter", 1, "-npermute", 12, "-qstperstt", 20, "-type", ".cont.")
        self._run("make_quests", *ci, *clustering, "-questfn", questions)
        untied = ("-moddeffn", self._at("untied.mdef"), "-ts2cbfn", ".cont.", *_parameters(self._model("untied"), "", files))
        splits = ("-ssplitmin", 1, "-ssplitmax", 7, "-ssplitthr", 0, "-csplitmin", 1, "-csplitmax", 2000, "-csplitthr", 0)
        floors = ("-mwfloor", 1e-8, "-varfloor", 1e-4, "-cntthresh", 10)

        def grow(place: tuple[str, int]) -> None:
            phoneme, state = place
            where = ("-phone", phoneme, "-state", state, "-stwt", STATE_WEIGHTS[state])
            out = ("-treefn", self._at("trees") / f"{phoneme}-{state}.dtree")
            self._run("bldtree", *untied, "-psetfn", questions, *splits, *floors, *where, *out, log=f"{phoneme}-{state}")

        with ThreadPoolExecutor(self.processes) as pool:
            list(pool.map(grow, [(phoneme, state) for phoneme in phonemes for state in range(STATES)]))

    def _grow(self, definition: str) -> None:
        """Baum-Welch with one Gaussian a state, then split each in two and train again."""
        self._copy("ci", "ci.mdef", "model-1-0", definition)
        gaussians = 1
        self._baum_welch("model-1", definition, 1)
        while gaussians < self.settings.gaussians:
            old, new = self._model(f"model-{gaussians}"), self._model(f"model-{2 * gaussians}-0")
            parts = ("-inmeanfn", "-invarfn", "-inmixwfn"), ("-outmeanfn", "-outvarfn", "-outmixwfn")
            files = PARAMETERS[:3]
            read = [part for flag, name in zip(parts[0], files, strict=True) for part in (flag, old / name)]
            write = [part for flag, name in zip(parts[1], files, strict=True) for part in (flag, new / name)]
            self._run("inc_comp", "-ninc", gaussians, "-dcountfn", old / "counts", *read, *write)
            (new / "transition_matrices").write_bytes((old / "transition_matrices").read_bytes())
            gaussians *= 2
            self._baum_welch(f"model-{gaussians}", definition, gaussians)

    def _copy(self, name: str, definition: str, to: str, to_definition: str) -> None:
        """Start a model of finer states with those of a coarser one."""
        source = ("-src_moddeffn", self._at(definition), "-src_ts2cbfn", ".cont.", *_parameters(self._model(name), "src_"))
        target = ("-dest_moddeffn", self._at(to_definition), "-dest_ts2cbfn", ".cont.", *_parameters(self._model(to), "dest_"))
        self._run("init_mixw", *source, *target)

    def _baum_welch(self, name: str, definition: str, gaussians: int) -> None:
        """Train `name`, starting with `name-0`, until it has converged."""
        model, before = self._model(name), float("-inf")
        for iteration in range(1, MOST_ITERATIONS + 1):
            start = self._model(f"{name}-0") if iteration == 1 else model
            likelihood = self._accumulate(start, definition, gaussians, first=iteration == 1)
            parts = [self._at(f"part-{part}") for part in range(1, self.processes + 1)]
            self._run("norm", "-accumdir", ",".join(map(str, parts)), *_parameters(model, ""), "-dcountfn", model / "counts")
            if likelihood - before < LEAST_GAIN:
                break
            before = likelihood
        (model / "mdef").write_bytes(self._at(definition).read_bytes())
        options = dict(zip(*[iter((*self.settings.front_end, *self.settings.features))] * 2, strict=True))
        (model / "feat.params").write_text("".join(f"{flag} {value}\n" for flag, value in options.items()))

    def _accumulate(self, model: Path, definition: str, gaussians: int, first: bool) -> float:
        """Gather the statistics of one pass, in parallel; returns the log-likelihood a frame."""
        hmm = ("-moddeffn", self._at(definition), "-ts2cbfn", ".cont.", *_parameters(model, ""))
        speech = ("-dictfn", self._at("dictionary"), "-fdictfn", self._at("fillers"), "-lsnfn", self._at("transcripts"))
        limits = ("-mwfloor", 1e-8, "-varfloor", 1e-4, "-topn", gaussians, "-abeam", 1e-90, "-bbeam", 1e-10)
        passes = ("-2passvar", "no" if first else "yes", "-timing", "no")

        def run(part: int) -> str:
            where = ("-part", part, "-npart", self.processes, "-accumdir", self._at(f"part-{part}"))
            return self._run("bw", *hmm, *speech, *self._cepstra, *limits, *passes, *where, log=f"{part}")

        with ThreadPoolExecutor(self.processes) as pool:
            logs = list(pool.map(run, range(1, self.processes + 1)))
        totals = [re.findall(r"overall>.*", log)[-1].split() for log in logs]
        return sum(float(fields[5]) for fields in totals) / sum(float(fields[2]) for fields in totals)

    @property
    def _cepstra(self) -> tuple[object, ...]:
        where = ("-ctlfn", self.audio.control, "-cepdir", self._at("cepstra"), "-cepext", "mfc")
        return (*where, "-ceplen", 13, *self.settings.features)

    def _at(self, name: str) -> Path:
        return self.folder / name

    def _model(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(exist_ok=True)
        return path

    def _run(self, program: str, *options: object, log: str = "") -> str:
        """Run one of the programs; returns what it said."""
        path = self.folder / "logs" / f"{Path(program).name}{'-' + log if log else ''}.log"
        done = subprocess.run([PROGRAMS / program, *map(str, options)], capture_output=True, text=True, errors="replace")
        said = done.stdout + done.stderr
        path.write_text(said)
        if done.returncode:
            raise SpeechbenchError(f"{program} failed with status {done.returncode}; its log is {path}")
        return said


def _parameters(model: Path, prefix: str, flags: Iterable[str] = tuple(FLAGS.values())) -> list[object]:
    names = {flag: name for name, flag in FLAGS.items()}
    return [part for flag in flags for part in (f"-{prefix}{flag}", model / names[flag])]
