"""The table of the synthesis benchmark goes where it belongs, and nowhere else."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent / "benchmarks"))

from mixing import BEGIN, END, write_table


def test_what_stands_around_the_table_is_kept(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Benchmarks\n\n{BEGIN}\nold\n{END}\n\n## Another\n")
    write_table(page, "new")
    assert page.read_text() == f"# Benchmarks\n\n{BEGIN}\nnew\n{END}\n\n## Another\n"


def test_a_page_without_a_place_for_it_is_left_alone(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(f"# Notes\n{BEGIN}\n")
    with pytest.raises(SystemExit, match=r"page\.md: expected the lines"):
        write_table(page, "new")
    assert page.read_text() == f"# Notes\n{BEGIN}\n"


def test_the_benchmarks_page_has_a_place_for_it():
    page = (Path(__file__).parents[1] / "BENCH.md").read_text()
    assert page.count(BEGIN) == page.count(END) == 1
