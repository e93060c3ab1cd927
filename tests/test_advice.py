import re

import pytest
from planted_errors import plant

from speechbench.diagnostics import Human, diagnose, diagnose_given, parse_errors
from speechbench.diagnostics.advice import ACTIONS, advise
from speechbench.diagnostics.gaps import Gap

COMMANDS = ("prepare", "split", "synth", "train", "decode", "score", "diagnose")


def test_advice_follows_the_verdict_with_ceilings():
    report = diagnose_given(parse_errors("human=0.01,train=0.02,train_dev=0.08,dev=0.20,words=20000"))
    assert report.verdict == ["data_mismatch", "variance", "avoidable_bias"]
    assert [round(advice["ceiling"], 6) for advice in report.advice] == [0.12, 0.06, 0.01]
    assert report.advice[0]["command"].startswith("speechbench synth")
    assert all(advice["low"] < advice["ceiling"] < advice["high"] for advice in report.advice)


def test_every_command_exists():
    for *_, command in ACTIONS:
        assert re.match(rf"speechbench ({'|'.join(COMMANDS)}) --?\w|speechbench split \w", command)


def test_synthesis_is_advised_at_the_snrs_of_dev():
    gap = Gap("train_dev", "dev", 0.1, 0.05, 0.15, True, "its interval lies above 0")
    (advice,) = advise({"data_mismatch": gap}, ("data_mismatch",), {}, "-3:12")
    assert "--snr -3:12" in advice.command


@pytest.mark.parametrize(("low", "times"), [(-0.01, "4.0"), (-0.02, "9.0")])
def test_how_much_data_would_decide(low, times):
    gap = Gap("train_dev", "dev", 0.01, low, 0.02 - low, False, "its interval includes 0")
    (advice,) = advise({"data_mismatch": gap}, (), {"train_dev": ("speaker", 10), "dev": ("speaker", 20)}, None)
    assert f"{times} times as much data" in advice.action
    assert "speakers in dev" in advice.action


def test_without_human_level_find_one():
    assert "human level" in diagnose_given(parse_errors("train=0.3,train_dev=0.3")).advice[0]["action"]


def test_train_and_dev_alone_ask_for_a_train_dev_set():
    sets = {"train": plant("train", 0.01, speakers=30), "dev": plant("dev", 0.4, speakers=30)}
    (advice,) = diagnose(sets, Human.parse("0.01")).advice
    assert "train-dev" in advice["action"]
