"""Acoustic scores that say plainly what was said, for the tests of the search."""

import numpy as np

AGAINST = -8.0  # natural log, of every column that was not planted


def plant(columns, width, against=AGAINST):
    """(T, S) scores: 0 for the planted column of each frame."""
    scores = np.full((len(columns), width), against, np.float32)
    scores[np.arange(len(columns)), columns] = 0.0
    return scores


def hmm_columns(topology, units, frames=1):
    """The columns of the units' states in order, each for so many frames."""
    numbers = [topology.units.index(unit) * topology.states + state for unit in units for state in range(topology.states)]
    return [number for number in numbers for _ in range(frames)]


def ctc_columns(topology, units, frames=1, blanks=False):
    """The columns of the units, with a blank before each, or only where two equal units meet."""
    columns = []
    for unit in units:
        column = topology.units.index(unit) + 1
        columns += [0] * (blanks or columns[-1:] == [column]) + [column] * frames
    return columns
