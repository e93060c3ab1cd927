"""The features of a training set in a folder of the run, read while training goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from pipelines.batches import extract
from pipelines.ctc.checkpoint import Row
from pipelines.ctc.edges import part_of, speech_edges
from pipelines.ctc.items import Item, fitting
from pipelines.frames import Frames, write_frames
from pipelines.speakers import Listener, Speakers
from speechbench import files
from speechbench.errors import SpeechbenchError
from speechbench.features import FRAME_SHIFT, cmvn, log_mel
from speechbench.manifest import Manifest, Skipped, Utterance
from speechbench.progress import say

FRAMES, INDEX, SKIPPED = "frames.f32", "frames.json", "skipped.json"

Tokens = Callable[[Sequence[str]], Tensor]  # the token numbers (U,) of words


def write(folder: Path, manifest: Manifest, bands: int, speaker_frames: float, *, index_only: bool = False) -> None:
    """Compute the features of a manifest, and where in them there is speech, unless they are there.

    Args:
        folder: Made.
        manifest: What is heard.
        bands: Of the features.
        speaker_frames: That all of its speaker's speech counts for beside an utterance that is normalised.
        index_only: Leave the features out, where other noise will be laid under the speech in each epoch.

    Raises:
        SpeechbenchError: No utterance can be used.
    """
    if folder.exists():
        return
    skipped, listener = Skipped(), Listener()
    heard, lengths_and_edges = list[Utterance](), list[tuple[int, tuple[int, int]]]()

    def energies() -> Iterator[Tensor]:
        label = f"features of {manifest.name}"
        for utterance, mel in extract(manifest, lambda samples: log_mel(samples, bands), skipped, label, threaded=True):
            heard.append(utterance)
            listener.hear(utterance.speaker, mel)
            yield mel
        if not heard:
            raise SpeechbenchError(f"{manifest.name}: no utterance can be used: {next(iter(skipped.reasons.values()))}")

    def normalised(number: int, mel: Tensor) -> Tensor:
        features = cmvn(mel, speakers.get(heard[number].speaker or ""), speaker_frames)
        lengths_and_edges.append((len(features), speech_edges(features)))
        return features

    with files.writing_folder(folder) as aside:
        speakers: Speakers = {}
        if index_only:
            for number, mel in enumerate(energies()):
                normalised(number, mel)
        else:
            frames = write_frames(aside / FRAMES, energies())
            speakers = listener.speakers()
            frames.rewrite(normalised)
        index = {
            utterance.id: {"frames": length, "speech": edges}
            for utterance, (length, edges) in zip(heard, lengths_and_edges, strict=True)
        }
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
    whole = Item(utterance.id, utterance.text or "", frames, tokens(utterance.words), speaker=utterance.speaker)
    start, count = part_of(speech, frames, silence)
    return replace(whole, start=start, frames=count) if whole.fits(count) else whole
