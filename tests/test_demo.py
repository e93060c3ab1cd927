"""The demo, in its short form, as a newcomer runs it."""

import json
import re
import subprocess
import sys

import pytest

from speechbench.cli.demo import FULL, QUICK, SYSTEMS, plan


@pytest.mark.parametrize("size", [FULL, QUICK])
def test_every_input_is_made_by_an_earlier_step(size, tmp_path):
    made: set[str] = set()
    for step in plan(tmp_path, size, seed=0):
        for command in step.commands:
            inputs = [part for part in command if part.startswith(str(tmp_path)) and part.endswith(".jsonl")]
            assert all(any(part.startswith(f"{folder}/") for folder in made) for part in inputs), command
        made |= {command[command.index("--out") + 1] for command in step.commands}
    assert {f"{tmp_path}/reports/{system}" for system in SYSTEMS} <= made


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_quick_demo_ends_with_a_report(tmp_path):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "speechbench", "demo", "--quick", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith(str(out / "report.html"))
    assert re.search(r"\[1/6\] .*; about \d+:\d+ left", done.stderr)
    documents = json.loads((out / "report.json").read_text())
    assert len(documents) == 4
    dev = {title: document["errors"]["dev"]["rate"] for title, document in documents.items()}
    assert dev["pipeline, trained on car"] < dev["pipeline, trained on clean"]
    clean = documents["pipeline, trained on clean"]
    assert clean["errors"]["train_dev"]["rate"] < clean["errors"]["dev"]["rate"]
    page = (out / "report.html").read_text()
    assert all(f'href="reports/{system}/report.html"' in page for system in SYSTEMS)
    assert all((out / "reports" / system / "report.html").stat().st_size > 100_000 for system in SYSTEMS)

    refused = subprocess.run(command, capture_output=True, text=True)
    assert refused.returncode == 1
    assert refused.stderr.strip() == f"speechbench: {out}: exists already; name another or add --overwrite"
