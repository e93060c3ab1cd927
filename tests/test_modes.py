import dataclasses
import importlib
import re

import pytest

from pipelines.modes import MODES, mode_of
from speechbench.config import build, load
from speechbench.errors import SpeechbenchError


@pytest.mark.parametrize("name", MODES)
def test_a_mode_has_a_config_a_training_and_a_recogniser(name):
    mode = mode_of(name)
    assert load(mode.config, None, ["seed=3"]).seed == 3
    assert callable(mode.train)
    module = importlib.import_module(f"{mode.package}.recognizer")
    assert callable(getattr(module, mode.recognizer_name).transcribe)


def test_an_unknown_mode_answers_with_the_known_ones():
    with pytest.raises(SpeechbenchError, match="unknown mode 'pipe line'; did you mean pipeline"):
        mode_of("pipe line")


@pytest.mark.parametrize("name", MODES)
def test_a_config_comes_back_from_its_document(name):
    config = load(mode_of(name).config, None, ["language_model.text=texts.txt", "beam=12"])
    document = dataclasses.asdict(config)
    document["language_model"]["text"] = str(document["language_model"]["text"])  # as JSON keeps it
    assert build(mode_of(name).config, document, "test") == config


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("e2e", "training.epochs=0", "[training] 'epochs' is 0; expected 1 or more"),
        ("e2e", "training.warmup=1.0", "[training] 'warmup' is 1; expected 0 to 0.99"),
        ("e2e", "training.encoder_rate=0", "[training] 'encoder_rate' is 0; expected 1e-06 to 1"),
        ("e2e", "heads.snr=-1", "[heads] 'snr' is -1; expected 0 or more"),
        ("e2e", "encoder.layers=0", "[encoder] 'layers' is 0; expected 1 or more"),
        ("e2e", "augment.stretch=1.5", "[augment] 'stretch' is 1.5; expected 0 to 0.9"),
        ("e2e", "beam=nan", "'beam' is nan; expected 1 or more"),
        ("e2e", "language_model.order=0", "[language_model] 'order' is 0; expected 1 to 9"),
        ("pipeline", "network.chunk=0.02", "[network] 'chunk' is 0.02; expected 0.1 or more"),
        ("pipeline", "network.realign=-1", "[network] 'realign' is -1; expected 0 or more"),
        ("pipeline", "gmm.gaussians=0", "[gmm] 'gaussians' is 0; expected 1 to 1024"),
        ("pipeline", "gmm.mfcc=41", "[gmm] 'mfcc' is 41; expected 1 to 40"),
        ("pipeline", "network.speeds=[0.9, 3]", "[network] 'speeds' holds 3; expected numbers from 0.5 to 2 other than 1"),
    ],
)
def test_values_out_of_range_are_refused(name, setting, message):
    with pytest.raises(SpeechbenchError, match=re.escape(f"--set: {message}")):
        load(mode_of(name).config, None, [setting])
