"""The features of a training set in a folder of the run, read while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from pipelines.batches import extract
from pipelines.ctc.checkpoint import Row
from pipelines.ctc.edges import part_of, speech_edges
from pipelines.ctc.front_end import front_end
from pipelines.ctc.items import Item, fitting
from pipelines.frames import Frames, write_frames
from speechbench import files
from speechbench.errors import SpeechbenchError
from speechbench.features import FRAME_SHIFT
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.progress import say

FRAMES, INDEX, SKIPPED = "frames.f32", "frames.json", "skipped.json"

Tokens = Callable[[Sequence[str]], Tensor]  # the token numbers (U,) of words


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


def read(folder: Path, bands: int) -> Callable[[str], Tensor]:
    """The features that `write` wrote, of each utterance by its id; `bands` as there."""
    lengths = {key: found["frames"] for key, found in files.read_json(folder / INDEX).items()}
    frames, places = Frames(folder / FRAMES, list(lengths.values()), bands), {key: n for n, key in enumerate(lengths)}
    return lambda key: frames[places[key]]


def read_items(folder: Path, manifest: Manifest, tokens: Tokens, silence: float, skipped: Skipped) -> list[Item]:
    """The utterances that `write` found usable.

    Args:
        folder: That was written.
        manifest: It was written of.
        tokens: Of words.
        silence: Seconds of it that are heard before and behind the speech.
        skipped: Takes the utterances whose audio cannot be used.
    """
    for utterance_id, reason in files.read_json(folder / SKIPPED).items():
        skipped.reasons[utterance_id] = reason  # said when it was found
    by_id = manifest.by_id
    return [_item(by_id[key], tokens, silence, **found) for key, found in files.read_json(folder / INDEX).items()]


def read_fitting(
    folder: Path, manifest: Manifest, tokens: Tokens, silence: float, skipped: Skipped, log: Callable[[Row], None]
) -> list[Item]:
    """Those of `read_items` that can be trained on; tells and logs how much of them is heard.

    Raises:
        SpeechbenchError: None is left.
    """
    found = fitting(read_items(folder, manifest, tokens, silence, skipped), manifest.name, skipped)
    by_id = manifest.by_id
    recorded = sum(by_id[item.id].duration for item in found)
    # The last frame reaches over the end, so that the frames of a whole utterance are longer than it is.
    used = sum(min(FRAME_SHIFT * item.frames, by_id[item.id].duration) for item in found)
    log({"recorded_seconds": round(recorded, 2), "used_seconds": round(used, 2)})
    left_out = f"silence of more than {silence:g} s before and behind the speech is not heard"
    say(f"trains on {used / 60:.1f} of {recorded / 60:.1f} min; {left_out}")
    return found


def _item(utterance: Utterance, tokens: Tokens, silence: float, frames: int, speech: tuple[int, int]) -> Item:
    """An utterance without what is left out; where its text would not fit into the rest, a whole one."""
    whole = Item(utterance.id, utterance.text or "", frames, tokens(utterance.words))
    start, count = part_of(speech, frames, silence)
    return replace(whole, start=start, frames=count) if whole.fits(count) else whole
