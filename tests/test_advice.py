import re

import pytest
from planted_errors import plant

from speechbench.diagnostics import Human, diagnose, diagnose_given, parse_errors
from speechbench.diagnostics.advice import ACTIONS, REMEDIES, advise_on_gaps, advise_on_slices
from speechbench.diagnostics.gaps import Gap
from speechbench.diagnostics.needed import Size
from speechbench.diagnostics.slices import label_utterances
from speechbench.diagnostics.verdict import Verdict

COMMANDS = ("prepare", "split", "synth", "train", "decode", "score", "diagnose", "check")


def test_advice_follows_the_verdict_with_ceilings():
    report = diagnose_given(parse_errors("human=0.01,train=0.02,train_dev=0.08,dev=0.20,words=20000"))
    assert report.verdict == ["data_mismatch", "variance", "avoidable_bias"]
    assert [round(advice["ceiling"], 6) for advice in report.advice] == [0.12, 0.06, 0.01]
    assert report.advice[0]["command"].startswith("speechbench synth")
    assert all(advice["low"] < advice["ceiling"] < advice["high"] for advice in report.advice)


def test_every_command_exists():
    for command in [row[-1] for row in ACTIONS] + [remedy[-1] for remedy in REMEDIES.values()]:
        assert re.match(rf"speechbench ({'|'.join(COMMANDS)}) --?\w|speechbench (split|prepare|check) \w", command)


def test_every_slice_has_a_remedy():
    scored = plant("dev", 0.1, noise=True)
    assert set(label_utterances(scored.manifest.utterances, {"a": 3})) <= set(REMEDIES)


def test_one_advice_for_a_slice():
    row = {"slice": "snr", "rate": 0.3, "share": 0.5, "low": 0.01, "high": 0.2}
    weak = [{**row, "name": "-5 to 0 dB", "ceiling": 0.1}, {**row, "name": "0 to 5 dB", "ceiling": 0.05}]
    (advice,) = advise_on_slices(weak)
    assert "-5 to 0 dB" in advice.action
    assert (advice.cause, advice.ceiling, advice.section) == ("snr", 0.1, "slices")


def test_at_human_level_there_is_nothing_to_do():
    report = diagnose_given(parse_errors("human=0.05,train=0.05,train_dev=0.05,dev=0.051,words=100000"))
    assert report.sentence.startswith("At human level: train-dev and dev err at most 1 point more")
    assert report.advice[0]["action"].startswith("Nothing")
    unsure = diagnose_given(parse_errors("human=0.05,train=0.05,train_dev=0.05,dev=0.051,words=1000"))
    assert "At human level" not in unsure.sentence


def test_synthesis_is_advised_at_the_snrs_of_dev():
    gap = Gap("train_dev", "dev", 0.1, 0.05, 0.15, True, "its interval lies above 0")
    (advice,) = advise_on_gaps({"data_mismatch": gap}, Verdict(("data_mismatch",), "", ()), {}, "-3:12")
    assert "--snr -3:12" in advice.command


@pytest.mark.parametrize(("low", "times"), [(-0.01, 4), (-0.02, 9)])
def test_how_much_data_would_decide(low, times):
    gap = Gap("train_dev", "dev", 0.01, low, 0.02 - low, False, "its interval includes 0")
    sizes = {"train_dev": Size("speaker", 10, 100, 10), "dev": Size("noise source", 20, 400, 8)}
    (advice,) = advise_on_gaps({"data_mismatch": gap}, Verdict((), "", ()), sizes, None)
    more = times - 1
    assert f"{100 * more} more utterances from {10 * more} more speakers in train-dev" in advice.action
    assert f"{400 * more:,} more utterances from {20 * more} more noise sources in dev would decide" in advice.action


@pytest.mark.slow
def test_more_data_do_decide_when_the_gap_is_as_large_as_it_looked():
    few = {name: plant(name, rate, utterances=120) for name, rate in (("train_dev", 0.10), ("dev", 0.13))}
    gap = diagnose(few, Human.parse("0.1")).gaps["data_mismatch"]
    assert gap["separable"] is False
    more = gap["needed"]["dev"]
    assert more["kind"] == "speaker"
    speakers = 12 + more["more"]
    many = {
        name: plant(name, rate, utterances=2 * 10 * speakers, speakers=2 * speakers)
        for name, rate in (("train_dev", 0.10), ("dev", 0.13))
    }
    assert diagnose(many, Human.parse("0.1")).gaps["data_mismatch"]["separable"] is True


def test_too_few_speakers_ask_for_more():
    sets = {"train_dev": plant("train_dev", 0.1, speakers=20), "dev": plant("dev", 0.4, speakers=3)}
    report = diagnose(sets, Human.parse("0.1"))
    assert report.gaps["data_mismatch"]["separable"] is None
    assert "To decide data mismatch, at least 80 more utterances from 2 more speakers in dev are needed." in report.sentence
    assert report.advice[0]["action"].startswith("Collect at least 80 more utterances from 2 more speakers in dev")


def test_without_human_level_find_one():
    assert "human level" in diagnose_given(parse_errors("train=0.3,train_dev=0.3")).advice[0]["action"]


def test_train_and_dev_alone_ask_for_a_train_dev_set():
    sets = {"train": plant("train", 0.01, speakers=30), "dev": plant("dev", 0.4, speakers=30)}
    (advice,) = diagnose(sets, Human.parse("0.01")).advice
    assert "train-dev" in advice["action"]
