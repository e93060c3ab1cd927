"""The errors to listen to: alignment, spectrogram, and audio beside the page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from speechbench import audio
from speechbench.errors import AudioError
from speechbench.report.cells import counted
from speechbench.report.spectrograms import draw_spectrogram

LONGEST = 30.0  # s of an utterance that a player holds


def lay_out(example: Mapping[str, Any], number: int, page: Path) -> dict[str, Any]:
    """An example of the document as its page shows it; its audio is written beside the page.

    Args:
        example: A row of `examples`.
        number: Its place, which names its files.
        page: The HTML file.
    """
    facts = [f"{counted(example['errors'], 'error')} in {counted(example['words'], 'word')}"]
    facts += [f"speaker {example['speaker']}"] if example["speaker"] else []
    facts += [example["condition"].replace("_", " ")] if example["condition"] else []
    facts += [f"SNR {example['snr_db']:.1f} dB"] if example["snr_db"] is not None else []
    places = {"in noise" if example["clean"] else "audio": example["audio"], "clean": example["clean"]}
    return {
        "id": example["id"],
        "facts": ", ".join(facts),
        "pairs": [(_kind(*pair), *pair) for pair in example["alignment"]],
        "reference": " ".join(word for word, _ in example["alignment"] if word),
        "hypothesis": " ".join(word for _, word in example["alignment"] if word),
        "players": [
            (name, _copy(place, page, f"{number:02d}-{name.replace(' ', '-')}.flac")) for name, place in places.items() if place
        ],
    }


def _kind(reference: str | None, hypothesis: str | None) -> str:
    if reference is None:
        return "insertion"
    return "deletion" if hypothesis is None else "hit" if reference == hypothesis else "substitution"


def _copy(place: Mapping[str, Any], page: Path, name: str) -> dict[str, Any]:
    """Copy a stretch of a recording.

    Returns:
        `source` (relative to the page), `picture`, `seconds`, `cut` (longer than a player holds); or `fault` that says why
        there is no audio.
    """
    seconds = min(place["duration"], LONGEST)
    try:
        # Resampling can pass full scale by a hair, which must not keep an utterance from being heard.
        samples = audio.read(Path(place["path"]), place["offset"], seconds).clip(-1.0, 1.0)
    except AudioError as error:
        return {"fault": str(error)}
    folder = page.with_name(f"{page.stem}-audio")
    folder.mkdir(parents=True, exist_ok=True)
    audio.write(folder / name, samples)
    return {
        "source": f"{folder.name}/{name}",
        "picture": draw_spectrogram(samples),
        "seconds": seconds,
        "cut": place["duration"] > LONGEST,
    }
