"""The search for what is said in many utterances: in this process, or in several that each hold the graph."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:  # a machine without the graph's packages trains with the names of `pipelines.tuning` alone
    from pipelines.graph import BestPath, Graph

WORTH_A_PROCESS = 100_000  # frames to search, which takes three seconds and more; to start a process takes less than one
MOST_PROCESSES = 8  # what scores the frames for them keeps up with some four


def processes_for(frames: float, most: int) -> int:
    """How many processes should search so many frames; threads would wait for each other, for a search holds Python's lock."""
    return min(most, MOST_PROCESSES, 1 + int(frames) // WORTH_A_PROCESS)


def search(graph: Graph, scores: NDArray[np.float32], beam: float) -> BestPath | None:
    """The best path; searched wider where a narrow beam loses every path that ends."""
    return graph.decode(scores, beam) or graph.decode(scores, 3 * beam)


@contextmanager
def graphs(graph: Graph, processes: int) -> Iterator[Callable[[float], Graph | Path]]:
    """Gives the graph with a word cost, or for several processes its file, which is there while this is open."""
    with TemporaryDirectory() as folder:

        def written(cost: float) -> Path:
            path = Path(folder) / f"{cost}.fst"
            if not path.exists():
                graph.with_word_cost(cost).write(path)
            return path

        yield graph.with_word_cost if processes == 1 else written


def opened(graph: Graph | Path) -> Graph:
    """What `graphs` gave, as a graph."""
    return _read(graph) if isinstance(graph, Path) else graph


@lru_cache(1)
def _read(path: Path) -> Graph:
    from pipelines.graph import Graph  # here, as above

    return Graph.read(path)
