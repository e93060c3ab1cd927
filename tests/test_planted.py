"""Planted faults: the harness, and one fault and one control from end to end."""

import subprocess
import sys
from pathlib import Path

import pytest
from planted_errors import plant

from speechbench.diagnostics import Human, diagnose

PLANTED = Path(__file__).parent / "planted"
sys.path.append(str(PLANTED))

from cases import CASES, CONTROLS, FAULTS, HEALTHY, TRAININGS, Case  # noqa: E402
from table import BEGIN, END, claims, place, write_table  # noqa: E402

HUMAN = Human.parse("0.03")


def report(**rates):
    return diagnose({name: plant(name, rate, utterances=240) for name, rate in rates.items()}, HUMAN).document()


@pytest.mark.parametrize(
    ("cause", "rates"),
    [
        ("avoidable_bias", {"train": 0.2, "train_dev": 0.2, "dev": 0.2}),
        ("variance", {"train": 0.03, "train_dev": 0.2, "dev": 0.2}),
        ("data_mismatch", {"train": 0.03, "train_dev": 0.03, "dev": 0.2}),
        ("dev_overfitting", {"train": 0.03, "train_dev": 0.03, "dev": 0.03, "test": 0.2}),
        (HEALTHY, {"train": 0.03, "train_dev": 0.03, "dev": 0.03, "test": 0.03}),
    ],
)
def test_a_gap_without_another_cause_is_named_itself(cause, rates):
    assert place(Case("", cause), report(**rates)) == 1


def test_a_false_alarm_and_a_miss_are_told():
    sick = report(train=0.2, train_dev=0.2, dev=0.2)
    assert place(Case("", HEALTHY), sick) is None
    assert place(Case("", "room"), sick) is None
    assert claims(sick)[0] == "avoidable_bias"


def test_every_case_has_its_run_and_a_name_of_its_own():
    assert {case.run for case in CASES} == set(TRAININGS)
    assert len({case.name for case in CASES}) == len(CASES)
    assert len(FAULTS) >= 12 and all((case.cause == HEALTHY) == (case in CONTROLS) for case in CASES)


def test_the_table_is_written_between_its_marks(tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    sick, well = report(train=0.2, train_dev=0.2, dev=0.2), report(train=0.03, train_dev=0.03, dev=0.03)
    write_table([(Case("small", "avoidable_bias"), [sick, well]), (Case("well", HEALTHY), [well, sick])], [2, 3], 60.0, page)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n| planted") and text.endswith(f"{END}\nafter\n") and "old" not in text
    assert "| small | `avoidable_bias` | 1 / 2 | avoidable_bias 1, nothing 1 | 21.7 3.2 |" in text
    assert "Faults: 1 of 2 (50 %, 95 % interval 1 to 99 %) named first; 0 second, 1 later or not at all." in text
    assert "controls: 1 of 2 (50 %, 95 % interval 1 to 99 %) false alarms." in text and "Seeds 2, 3; 1 minutes" in text
    assert capsys.readouterr().out.strip() in text


@pytest.mark.slow
def test_one_fault_and_one_control_from_end_to_end(tmp_path):
    chosen = ["--case", "never heard a room", "--case", "clean"]
    command = [sys.executable, str(PLANTED / "run.py"), "--out", str(tmp_path), "--seeds", "1", *chosen]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    assert "Faults: 1 of 1" in done.stdout and "controls: 0 of 1" in done.stdout
