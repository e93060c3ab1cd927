"""The features of a training set in a folder of the run, read while training goes on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from pipelines.batches import extract
from pipelines.ctc.edges import part_of, speech_edges
from pipelines.ctc.items import Item, Stored
from pipelines.e2e.tokens import Tokens, front_end
from pipelines.frames import Frames, write_frames
from speechbench import files
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest, Skipped, Utterance

FRAMES, INDEX, SKIPPED = "frames.f32", "frames.json", "skipped.json"


def write(folder: Path, manifest: Manifest, bands: int, *, index_only: bool = False) -> None:
    """Compute the features of a manifest, and where in them there is speech, unless they are there.

    Args:
        folder: Made.
        manifest: What is heard.
        bands: Of the features.
        index_only: Leave the features out, where other noise will be laid under the speech in each epoch.

    Raises:
        SpeechbenchError: No utterance can be used.
    """
    if folder.exists():
        return
    skipped, index = Skipped(), dict[str, dict[str, object]]()

    def features() -> Iterator[Tensor]:
        for utterance, values in extract(manifest, front_end(bands), skipped, f"features of {manifest.name}"):
            index[utterance.id] = {"frames": len(values), "speech": speech_edges(values)}
            yield values
        if not index:
            raise SpeechbenchError(f"{manifest.name}: no utterance can be used: {next(iter(skipped.reasons.values()))}")

    with files.writing_folder(folder) as aside:
        if index_only:
            for _ in features():
                pass
        else:
            write_frames(aside / FRAMES, features())
        files.write_json(aside / INDEX, index)
        files.write_json(aside / SKIPPED, skipped.reasons)


def read(folder: Path, manifest: Manifest, bands: int, tokens: Tokens, silence: float, skipped: Skipped) -> Stored:
    """What `write` wrote, as items to train on or to be judged by; `bands` as there, the rest as for `read_items`."""
    lengths = {key: found["frames"] for key, found in files.read_json(folder / INDEX).items()}
    frames, places = Frames(folder / FRAMES, list(lengths.values()), bands), {key: n for n, key in enumerate(lengths)}
    return Stored(read_items(folder, manifest, tokens, silence, skipped), lambda key: frames[places[key]])


def read_items(folder: Path, manifest: Manifest, tokens: Tokens, silence: float, skipped: Skipped) -> list[Item]:
    """The utterances that `write` found usable.

    Args:
        folder: That was written.
        manifest: It was written of.
        tokens: The alphabet.
        silence: Seconds of it that are heard before and behind the speech.
        skipped: Takes the utterances whose audio cannot be used.
    """
    for utterance_id, reason in files.read_json(folder / SKIPPED).items():
        skipped.reasons[utterance_id] = reason  # said when it was found
    by_id = manifest.by_id
    return [_item(by_id[key], tokens, silence, **found) for key, found in files.read_json(folder / INDEX).items()]


def _item(utterance: Utterance, tokens: Tokens, silence: float, frames: int, speech: tuple[int, int]) -> Item:
    """An utterance without what is left out; where its text would not fit into the rest, a whole one."""
    whole = Item(utterance.id, utterance.text or "", frames, tokens.numbers(utterance.words))
    start, count = part_of(speech, frames, silence)
    return replace(whole, start=start, frames=count) if whole.fits(count) else whole
