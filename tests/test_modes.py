import dataclasses
import importlib

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
    with pytest.raises(SpeechbenchError, match="unknown mode 'pipelin'; did you mean pipeline"):
        mode_of("pipelin")


@pytest.mark.parametrize("name", MODES)
def test_a_config_comes_back_from_its_document(name):
    config = load(mode_of(name).config, None, ["language_model.text=texts.txt", "beam=12"])
    document = dataclasses.asdict(config)
    document["language_model"]["text"] = str(document["language_model"]["text"])  # as JSON keeps it
    assert build(mode_of(name).config, document, "test") == config
