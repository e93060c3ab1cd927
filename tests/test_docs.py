"""What the documents tell a reader to type is typed."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from speechbench import cards
from speechbench.cli import main, speechbench

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
MANIFEST_LINES = 40  # of the prepared corpus, so that the way takes seconds
SHORT = {
    "pipeline": (  # the shortest training that there is
        "gmm.monophone_gaussians=1",
        "gmm.gaussians=1",
        "gmm.iterations=1",
        "network.epochs=1",
        "network.speeds=[]",
        "network.width=64",
        "network.layers=2",
        "beam=5",
    ),
    "e2e": ("training.epochs=1", "encoder.channels=32", "encoder.recurrent=16", "beam=5"),
}


@dataclass(frozen=True)
class Block:
    """A block of commands; `run` is what the comment above it asks for."""

    where: str
    run: str | None
    text: str

    @property
    def lines(self):
        joined = self.text.replace("\\\n", " ")
        return [line for line in joined.splitlines() if line.strip() and not line.startswith("#")]


def blocks(path):
    text = path.read_text()
    for match in re.finditer(r"(?:<!-- run: (\w+) -->\n)?```sh\n(.*?)```", text, re.DOTALL):
        yield Block(f"{path.name}:{text[: match.start()].count(chr(10)) + 1}", match[1], match[2])


BLOCKS = [block for path in DOCUMENTS for block in blocks(path)]
COMMANDS = [pytest.param(command, id=name) for name, command in sorted(speechbench.commands.items())]


def of(run):
    return [block for block in BLOCKS if block.run == run]


@pytest.fixture
def bash(tmp_path):
    """Run a command line in an empty folder where `speechbench` is this checkout's."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "speechbench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m speechbench "$@"\n')
    (tmp_path / "bin" / "speechbench").chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]),
    }

    def run(text):
        command = ["bash", "-euo", "pipefail", "-c", text]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{text}\nended with {done.returncode}:\n{done.stderr[-2000:]}"
        assert "Traceback" not in done.stderr and "Warning" not in done.stderr, done.stderr
        return done.stdout

    return run


@pytest.mark.parametrize("block", of("always"), ids=lambda block: block.where)
def test_blocks_that_always_run(bash, block):
    assert bash(block.text).strip()


@pytest.mark.slow
def test_the_way_on_real_recordings(tmp_path, monkeypatch, capsys, shared_data):
    """In this process, for nineteen of them would import torch for most of the time."""
    (tmp_path / "data").symlink_to(shared_data)
    monkeypatch.chdir(tmp_path)
    for line in (line for block in of("real") for line in block.lines):
        words = shlex.split(line)
        if words[:2] == ["speechbench", "train"]:
            words += [word for setting in SHORT[words[words.index("--mode") + 1]] for word in ("--set", setting)]
        assert words[0] == "speechbench", f"{line}: can only be run as a command of speechbench"
        monkeypatch.setattr(sys, "argv", words)
        main()
        assert capsys.readouterr().out.strip(), line
        if words[:3] == ["speechbench", "prepare", "picovoice_intent"]:
            prepared = tmp_path / "pico" / "manifest.jsonl"
            prepared.write_text("".join(prepared.read_text().splitlines(keepends=True)[:MANIFEST_LINES]))
    assert {path.parent.name for path in tmp_path.glob("reports/*/report.html")} == {"pipeline-clean", "pipeline-car"}


def test_every_example_is_run_or_names_make_targets():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for block in of(None):
        for line in block.lines:
            first, *rest = line.split("#")[0].split()
            assert first != "speechbench", f"{block.where}: is not run by any test; mark it with <!-- run: always --> or real"
            if first == "make":
                unknown = [word for word in rest if word not in targets and "=" not in word]
                assert not unknown, f"{block.where}: the Makefile has no target {unknown}"
    assert {block.run for block in BLOCKS} <= {None, "always", "real"}
    assert of("always") and of("real") and of(None)


def test_make_targets_in_the_text_exist():
    targets = set(re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {target for path in DOCUMENTS for target in re.findall(r"`make ([\w-]+)`", path.read_text())}
    assert named and named <= targets


def test_the_table_of_commands_is_whole():
    table = re.search(r"## Commands\n(.*?)\n## ", (ROOT / "README.md").read_text(), re.DOTALL)[1]
    rows = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert sorted(name for row in rows for name in re.findall(r"`(\w+)`", row)) == sorted(speechbench.commands)


def test_the_number_of_cards_is_right():
    (number,) = re.findall(r"`datasets/` holds (\d+)", (ROOT / "README.md").read_text())
    assert int(number) == len(cards.names())


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_parses(command):
    text = "\n".join(filter(None, (command.help, command.epilog)))
    examples = re.findall(rf"speechbench {command.name}\b.*", text)
    assert examples, f"the help of {command.name} has no example"
    group = click.Context(speechbench, **speechbench.context_settings)
    for example in examples:
        command.make_context(command.name, shlex.split(example)[2:], group).close()


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
    links = re.findall(r"\]\(([^)#]+)\)", path.read_text())
    assert [link for link in links if "://" not in link and not (path.parent / link).exists()] == []
