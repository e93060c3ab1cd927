"""Audio inside the page, so that a report is one file."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechbench import audio
from speechbench.errors import AudioError

LONGEST = 30.0  # s of an utterance that a page holds


def embed(place: Mapping[str, Any] | None) -> dict[str, str] | None:
    """A stretch of a recording as a data URI.

    Args:
        place: `path`, `offset`, `duration`; None gives None.

    Returns:
        `source`, or `fault` that says why there is no audio.
    """
    if place is None:
        return None
    try:
        samples = audio.read(Path(place["path"]), place["offset"], min(place["duration"], LONGEST))
        # Resampling can pass full scale by a hair, which must not keep an utterance from being heard.
        data = audio.encode(samples.clip(-1.0, 1.0))
    except AudioError as error:
        return {"fault": str(error)}
    return {"source": "data:audio/flac;base64," + base64.b64encode(data).decode("ascii")}
