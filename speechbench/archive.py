"""Audio inside tar files: a path may lead into one, as in shards/shard-000000.tar/utterance7.flac."""

from __future__ import annotations

import io
import tarfile
from functools import lru_cache
from pathlib import Path

ARCHIVE = ".tar"
SIDECAR = ".json"  # what lies beside the audio of a sample, in the shards of WebDataset and lhotse


def is_member(path: Path) -> bool:
    """Whether the path leads into a tar file that exists; whether the member does is not looked at."""
    return path.parent.suffix == ARCHIVE and path.parent.is_file()


def read(path: Path) -> bytes:
    """The bytes of a member.

    Raises:
        FileNotFoundError: The tar file has no such member.
        OSError: The tar file is none, or ends early.
    """
    archive = path.parent
    places = _members(archive, archive.stat().st_mtime_ns)
    if path.name not in places:
        raise FileNotFoundError(f"{archive} has no member {path.name}")
    offset, size = places[path.name]
    with archive.open("rb") as stream:
        stream.seek(offset)
        data = stream.read(size)
    if len(data) < size:
        raise OSError(f"{archive} ends early")
    return data


def opened(path: Path) -> str | io.BytesIO:
    """What libsndfile is to open: the path itself, or the bytes of a tar file's member.

    Raises:
        OSError: As `read`.
    """
    return io.BytesIO(read(path)) if is_member(path) else str(path)


@lru_cache(maxsize=1024)
def _members(archive: Path, changed_ns: int) -> dict[str, tuple[int, int]]:
    """Offset and size of each member in bytes, read once for as long as the tar file stays as it is."""
    try:
        with tarfile.open(archive, "r:") as stream:
            return {member.name: (member.offset_data, member.size) for member in stream if not member.name.endswith(SIDECAR)}
    except tarfile.TarError as error:
        raise OSError(f"{archive} is no tar file: {error}") from error
