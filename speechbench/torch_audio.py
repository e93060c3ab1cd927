"""The one place that imports torchaudio; everyone else takes it from here.

PyPI's Linux wheel of torchaudio is linked against CUDA: beside a CPU build of torch its extension does not load, though
all its Python parts work. Here its extension is then taken as absent, which torchaudio knows how to live with: features,
SpecAugment and models work; rnnt_loss, forced_align, load and save do not.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType


def _load() -> ModuleType:
    try:
        return importlib.import_module("torchaudio")
    except OSError:
        for name in [name for name in sys.modules if name.split(".")[0] == "torchaudio"]:
            del sys.modules[name]
    package = importlib.util.find_spec("torchaudio")
    assert package is not None
    assert package.submodule_search_locations is not None
    name, folder = "torchaudio._extension.utils", package.submodule_search_locations[0]
    spec = importlib.util.spec_from_file_location(name, f"{folder}/_extension/utils.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    module._load_lib = lambda library: False  # type: ignore[attr-defined]
    return importlib.import_module("torchaudio")


torchaudio = _load()
