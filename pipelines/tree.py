"""The phonetic decision tree: which states of a unit share a column, depending on the units beside it.

Source: Young, Odell and Woodland 1994 (tied states); questions found from the data as in Kaldi (Povey et al. 2011).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechbench.files import read_json, write_text

LEFT, RIGHT = "left", "right"


@dataclass(frozen=True)
class Question:
    """Whether the neighbour on one side is among some units."""

    side: str  # LEFT or RIGHT
    among: frozenset[int]
    yes: Node
    no: Node


Node = int | Question  # a column, or what to ask to find it


@dataclass(frozen=True)
class Tree:
    """For each unit and state the questions that lead to its columns.

    Attributes:
        roots: Of unit u and state s at [u][s].
        owners: The unit and state of each column.
    """

    roots: tuple[tuple[Node, ...], ...]
    owners: tuple[tuple[int, int], ...]

    def column(self, left: int, unit: int, right: int, state: int) -> int:
        """The column of a unit's state between two others; -1 stands for the edge of the utterance."""
        node = self.roots[unit][state]
        while isinstance(node, Question):
            node = node.yes if (left if node.side == LEFT else right) in node.among else node.no
        return node

    def write(self, path: Path, units: Sequence[str]) -> None:
        """Write it as JSON that a person can read, a line for each state of each unit."""

        def document(node: Node) -> Any:
            if isinstance(node, int):
                return node
            among = [units[number] for number in sorted(node.among)]
            return {node.side: among, "yes": document(node.yes), "no": document(node.no)}

        lines = [
            json.dumps({"unit": unit, "state": state, "column": document(root)}, ensure_ascii=False)
            for unit, roots in zip(units, self.roots, strict=True)
            for state, root in enumerate(roots)
        ]
        write_text(path, "[\n" + ",\n".join(lines) + "\n]\n")

    @classmethod
    def read(cls, path: Path, units: Sequence[str]) -> Tree:
        """Read what `write` wrote."""
        numbers = {unit: number for number, unit in enumerate(units)}
        owners: dict[int, tuple[int, int]] = {}

        def node(document: Any, owner: tuple[int, int]) -> Node:
            if isinstance(document, int):
                owners[document] = owner
                return document
            side = LEFT if LEFT in document else RIGHT
            among = frozenset(numbers[unit] for unit in document[side])
            return Question(side, among, node(document["yes"], owner), node(document["no"], owner))

        rows = read_json(path)
        states = len(rows) // len(units)
        flat = [node(row["column"], (numbers[row["unit"]], row["state"])) for row in rows]
        roots = tuple(tuple(flat[first : first + states]) for first in range(0, len(flat), states))
        return cls(roots, tuple(owners[column] for column in range(len(owners))))
