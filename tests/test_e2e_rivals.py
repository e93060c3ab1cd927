"""The end-to-end network against SpeechBrain: both hear the same, and both are decoded alike."""

import sys
from pathlib import Path

import numpy as np
from planted_scores import ctc_columns, plant
from toy_language import WORDS, speak

from pipelines.e2e.config import E2eConfig
from pipelines.e2e.recognizer import topology_of
from pipelines.e2e.tokens import Tokens
from pipelines.words import LanguageModelConfig, prepare_words
from speechbench import audio, manifest
from speechbench.files import write_json
from speechbench.lexicon import spell
from speechbench.manifest import Manifest, Utterance
from speechbench.run import Run

sys.path.append(str(Path(__file__).parent / "benchmarks"))

import e2e_rivals as rivals

TOKENS = Tokens.of(spell(WORDS))


def test_silence_that_ours_leaves_out_is_left_out_for_both(tmp_path):
    rng = np.random.default_rng(0)
    speech = speak(["cat", "zebra"], "characters", rng)
    wave = np.concatenate([np.zeros(32_000, np.float32), speech, np.zeros(48_000, np.float32)])
    audio.write(tmp_path / "long.flac", wave + rng.normal(0, 0.003, wave.size).astype(np.float32))
    texts = {"short": "cat zebra", "full": " ".join(["zebra"] * 25)}  # the second has no frame to spare
    rows = [Utterance(name, tmp_path / "long.flac", wave.size / 16_000, text=text) for name, text in texts.items()]
    parts = rivals.heard(Manifest(tuple(rows)), TOKENS, tmp_path / "speech")
    parts.write(tmp_path / "parts.jsonl")
    short, full = manifest.read(tmp_path / "parts.jsonl")
    first, last = 2.0 + 0.115, 2.0 + speech.size / 16_000 - 0.115  # the pauses at the edges are 0.08 to 0.15 s
    for silence in (first - short.offset, short.offset + short.duration - last):
        assert 0.3 - 0.035 <= silence <= 0.3 + 0.035 + 0.15  # edges are found by levels over 0.05 s, and rounded outwards
    assert short.samples().size == round(16_000 * short.duration) and short.text == "cat zebra"
    assert (full.offset, full.duration) == (0, wave.size / 16_000)


def scores_of(text):
    """Plain scores of a text, with a blank between its characters."""
    return plant(ctc_columns(topology_of(TOKENS), list(text), blanks=True), TOKENS.columns)


def test_scores_of_any_network_are_decoded_with_a_runs_graph(tmp_path):
    texts = ["cat dog fish", "milk zebra", "yellow cat milk", "dog dog zebra fish"]
    run = Run.create(tmp_path / "run", "e2e", E2eConfig(), 0, {})
    prepare_words(run, LanguageModelConfig(), texts, spell)
    write_json(run.path / "units.json", list(TOKENS.units))
    rows = [Utterance(f"{number}", tmp_path / "none.flac", 1.0, text=text) for number, text in enumerate(texts)]
    said = {str(number): scores_of(text) for number, text in enumerate(texts)}
    data = dict.fromkeys(rivals.SETS, Manifest(tuple(rows)))
    misheard = said | {"1": scores_of("milk zebre")}  # which the lexicon knows better
    own, by_beam, with_graph = rivals.decode(run.path, data, {"train": said, "dev": said, "test": misheard})
    assert (own.errors, by_beam.errors, with_graph.errors) == (1, 1, 0)
    assert own.words == by_beam.words == with_graph.words == 12
