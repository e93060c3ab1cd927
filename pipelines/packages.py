"""The packages of the decoding graph, without which end to end still trains and decodes greedily."""

from __future__ import annotations

import importlib

GRAPH_PACKAGES = ("kaldi_decoder", "kaldifst", "kaldialign")  # in this order: the other can deadlock


def missing_packages() -> list[str]:
    """Those that cannot be imported here."""
    missing: list[str] = []
    for name in GRAPH_PACKAGES:
        try:
            importlib.import_module(name)
        except ModuleNotFoundError:
            missing.append(name)
    return missing
