"""How a build's audio lies on disk: a file for each utterance, or many in one tar file (a shard).

A shard holds a fixed number of scenes in their order, so that its bytes do not depend on who renders it or when. The
manifest names audio in a shard as a path that leads into the tar file, which all that reads audio here understands.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from speechbench import files
from speechbench.audio import SAMPLING_RATE
from speechbench.errors import unknown_name
from speechbench.manifest import Utterance

Entry = tuple[Utterance, str, bytes]  # an utterance, its manifest line and the bytes of its audio
Sums = dict[str, str]  # SHA-256 of each shard's files, by path below the build folder

FILES_TOGETHER = 16  # scenes that a worker renders at a time: 100 ms of work, so that handing it out costs nothing
PER_SHARD = 500  # scenes: some 70 MB of FLAC, and enough shards to share out from some thousand utterances on


@dataclass(frozen=True)
class Container:
    """One way to keep audio on disk."""

    name: str
    home: str  # where a chunk's audio lies below the build folder; a shard's has a place for the chunk's number
    write: Callable[[Path, Container, int, Iterable[Entry]], Sums]  # a chunk's entries into a build folder
    scenes: int  # that are rendered together: a chunk
    suffix: str = ".flac"  # of the audio, which gives its format
    key: Callable[[str], str] = str  # utterance id -> file name without suffix

    def shard(self, out: Path, chunk: int) -> Path:
        """The tar file of a chunk, or the folder of all audio."""
        return out / self.home.format(chunk)

    def file_name(self, utterance_id: str) -> str:
        """The name of an utterance's audio in there."""
        return self.key(utterance_id) + self.suffix


def of(name: str) -> Container:
    """A container by its name.

    Raises:
        SpeechbenchError: An unknown name.
    """
    for container in CONTAINERS:
        if container.name == name:
            return container
    raise unknown_name("container", name, [container.name for container in CONTAINERS])


def _write_files(out: Path, container: Container, number: int, entries: Iterable[Entry]) -> Sums:
    """Each utterance a file of its own; one that is there already is not touched."""
    folder = container.shard(out, number)
    folder.mkdir(exist_ok=True)
    for utterance, _, data in entries:
        path = folder / container.file_name(utterance.id)
        if not (path.is_file() and path.read_bytes() == data):
            with files.writing(path, make_folder=False) as aside:
                aside.write_bytes(data)
    return {}


def _write_webdataset(out: Path, container: Container, number: int, entries: Iterable[Entry]) -> Sums:
    """For each utterance KEY.flac and KEY.json, the manifest's line; WebDataset ends a key at its first dot."""
    path = container.shard(out, number)
    with files.writing(path) as aside, tarfile.open(aside, "w") as archive:
        for utterance, line, data in entries:
            _add(archive, container.file_name(utterance.id), data)
            _add(archive, container.key(utterance.id) + ".json", line.encode())
    return {_below(path, out): files.sha256(path)}


def _write_shar(out: Path, container: Container, number: int, entries: Iterable[Entry]) -> Sums:
    """Lhotse's Shar: a file of cuts, and a tar file with ID.flac and ID.json, lhotse's description, for each of them."""
    path = container.shard(out, number)
    cuts = path.with_name(f"cuts.{number:06d}.jsonl.gz")
    with (
        files.writing(path) as aside,
        files.writing(cuts) as cuts_aside,
        tarfile.open(aside, "w") as archive,
        cuts_aside.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as stream,  # no name, no time: bytes repeat
    ):
        for utterance, _, data in entries:
            recording = _recording(utterance)
            _add(archive, container.file_name(utterance.id), data)
            _add(archive, utterance.id + ".json", _line(recording))
            stream.write(_line(_cut(utterance, recording)))
    return {_below(one, out): files.sha256(one) for one in (cuts, path)}


def _below(path: Path, out: Path) -> str:
    return path.relative_to(out).as_posix()


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    member = tarfile.TarInfo(name)  # of time 0, owner 0 and mode 644
    member.size = len(data)
    archive.addfile(member, io.BytesIO(data))


def _key(utterance_id: str) -> str:
    """An id without dots; "%" occurs in none, so that keys differ where ids do."""
    return utterance_id.replace(".", "%2E")


def _line(row: dict[str, Any]) -> bytes:
    return (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()


def _recording(utterance: Utterance) -> dict[str, Any]:
    """Lhotse's Recording, whose audio is filled in by who reads the shard."""
    return {
        "id": utterance.id,
        "sources": [{"type": "shar", "channels": [0], "source": ""}],
        "sampling_rate": SAMPLING_RATE,
        "num_samples": round(utterance.duration * SAMPLING_RATE),
        "duration": utterance.duration,
        "channel_ids": [0],
    }


def _cut(utterance: Utterance, recording: dict[str, Any]) -> dict[str, Any]:
    """Lhotse's MonoCut, with all that the manifest knows beside the text as `custom`."""
    span = {"start": 0, "duration": utterance.duration, "channel": 0}
    spoken = {"id": utterance.id, "recording_id": utterance.id} | span
    spoken |= {key: value for key in ("text", "speaker") if (value := getattr(utterance, key)) is not None}
    custom = dict(utterance.extra) | ({"split": utterance.split} if utterance.split else {})
    return {"id": utterance.id} | span | {"supervisions": [spoken], "recording": recording, "custom": custom, "type": "MonoCut"}


CONTAINERS = (
    Container("flac", "audio", _write_files, FILES_TOGETHER),
    Container("wav", "audio", _write_files, FILES_TOGETHER, ".wav"),
    Container("tar", "shards/shard-{:06d}.tar", _write_webdataset, PER_SHARD, key=_key),
    Container("shar", "shar/recording.{:06d}.tar", _write_shar, PER_SHARD),
)
