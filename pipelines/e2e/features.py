"""The features of a training set in a folder of the run, read while training goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from pipelines.batches import extract
from pipelines.ctc.items import Item, Stored
from pipelines.e2e.tokens import Tokens, front_end
from pipelines.frames import Frames, write_frames
from speechbench import files
from speechbench.audio import SAMPLING_RATE
from speechbench.errors import SpeechbenchError
from speechbench.features import frames_of
from speechbench.manifest import Manifest, Skipped

FRAMES, INDEX, SKIPPED = "frames.f32", "frames.json", "skipped.json"


def write(folder: Path, manifest: Manifest, bands: int) -> None:
    """Compute the features of a manifest, unless they are there.

    Raises:
        SpeechbenchError: No utterance can be used.
    """
    if folder.exists():
        return
    skipped, lengths = Skipped(), dict[str, int]()

    def features() -> Iterator[Tensor]:
        for utterance, values in extract(manifest, front_end(bands), skipped, f"features of {manifest.name}"):
            lengths[utterance.id] = len(values)
            yield values
        if not lengths:
            raise SpeechbenchError(f"{manifest.name}: no utterance can be used: {next(iter(skipped.reasons.values()))}")

    with files.writing_folder(folder) as aside:
        write_frames(aside / FRAMES, features())
        files.write_json(aside / INDEX, lengths)
        files.write_json(aside / SKIPPED, skipped.reasons)


def read(folder: Path, manifest: Manifest, bands: int, tokens: Tokens, skipped: Skipped) -> Stored:
    """What `write` wrote, as items to train on or to be judged by.

    Args:
        folder: That was written.
        manifest: It was written of.
        bands: Of the features.
        tokens: The alphabet.
        skipped: Takes the utterances whose audio cannot be used.
    """
    lengths: dict[str, int] = files.read_json(folder / INDEX)
    for utterance_id, reason in files.read_json(folder / SKIPPED).items():
        skipped.reasons[utterance_id] = reason  # said when it was found
    frames, places = Frames(folder / FRAMES, list(lengths.values()), bands), {key: n for n, key in enumerate(lengths)}
    by_id = manifest.by_id
    items = [Item(key, by_id[key].text or "", length, tokens.numbers(by_id[key].words)) for key, length in lengths.items()]
    return Stored(items, lambda key: frames[places[key]])


def clean_items(manifest: Manifest, tokens: Tokens) -> list[Item]:
    """What a manifest says of its utterances, for scenes that are made from them; no audio is read."""
    return [Item(u.id, u.text or "", frames_of(round(u.duration * SAMPLING_RATE)), tokens.numbers(u.words)) for u in manifest]
