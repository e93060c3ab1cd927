"""Training straight from scenes: fresh ones each epoch, read ahead by threads and rendered in batches, with no file between.

Epoch 0 has the scenes that `synth` writes to files with the same plan, so that the two ways can be compared. Each later
epoch draws levels, SNRs and cabins anew and goes on with the noise where the epoch before left it: over a whole training,
too, every noise second is used once before any is used twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path
from threading import Lock

import numpy as np

from speechbench import audio
from speechbench.audio import SAMPLING_RATE, Samples
from speechbench.errors import AudioError
from speechbench.manifest import Skipped
from speechbench.seeds import seed_of
from synth import batch, cabin, mix, scene
from synth.batch import Batch, Heard
from synth.build import Plan
from synth.noise import Allotment, NoiseBank, Piece
from synth.scene import Scene

READ_AHEAD = 2  # batches that are read while one is rendered and trained on
NOISE_BYTES = 2**30  # 4.7 h of decoded noise

Reading = tuple[Scene, Future[Heard]]


class Live:
    """A plan whose scenes are rendered while training asks for them.

    To a trainer it is a source of batches per epoch: `batches` is all that it calls.
    """

    def __init__(
        self, plan: Plan, skipped: Skipped, device: str = "cpu", reader_count: int = 2, noise_bytes: int = NOISE_BYTES
    ) -> None:
        """Listen to the noise once, as `synth` does.

        Args:
            plan: What from; clean twins are not rendered.
            skipped: Takes the recordings, and later the utterances, whose audio cannot be used.
            device: "cpu" or "cuda", where the batches are rendered and stay.
            reader_count: Threads that read audio.
            noise_bytes: The most memory for noise that is kept decoded.

        Raises:
            SpeechbenchError: No noise can be used, or no such device.
        """
        self.plan, self.skipped, self.reader_count = plan, skipped, reader_count
        self.device = batch.device_of(device)
        self.bank = NoiseBank.load(plan.noise, skipped).listen(reader_count, skipped)
        self.recordings = Recordings(noise_bytes)
        self._next, self._epochs = 0, self._draw()

    def scenes(self, epoch: int) -> list[Scene]:
        """The scenes of an epoch, the same whenever it is asked for; their ids are the same in each epoch.

        Going back, or far ahead, draws again what came before: about as long as a dry run of `synth` for each epoch.

        Raises:
            SpeechbenchError: No noise for an utterance's split or a condition.
        """
        if epoch < self._next:
            self._next, self._epochs = 0, self._draw()
        while True:
            scenes = next(self._epochs)
            self._next += 1
            if self._next > epoch:
                return scenes

    def _draw(self) -> Iterator[list[Scene]]:
        speech, recipe, seed = self.plan.speech, self.plan.recipe, self.plan.seed
        allotment = Allotment(self.bank, recipe.conditions, seed)
        yield list(scene.draw(speech, self.bank, recipe, seed, allotment))
        for epoch in count(1):
            yield list(scene.draw(speech, self.bank, recipe, seed_of(seed, "epoch", epoch), allotment))

    def batches(self, epoch: int, group: Callable[[Sequence[int]], Iterable[Sequence[int]]]) -> Iterator[Batch]:
        """The rendered batches of an epoch.

        Args:
            epoch: From 0.
            group: From the lengths of all utterances, in samples, to the indices of each batch.
        """
        scenes = self.scenes(epoch)
        groups = group([round(one.clean_duration * SAMPLING_RATE) for one in scenes])
        return self.render([scenes[index] for index in indices] for indices in groups)

    def render(self, groups: Iterable[Sequence[Scene]]) -> Iterator[Batch]:
        """Render scenes in the groups they come in.

        A scene whose audio cannot be used is noted in `skipped` and left out; a group of which nothing is left gives no
        batch. At most `READ_AHEAD` groups and the one under way are in memory.
        """
        pool = ThreadPoolExecutor(self.reader_count)
        under_way: deque[list[Reading]] = deque()
        try:
            for group in groups:
                under_way.append([(one, pool.submit(self.read, one)) for one in group])
                if len(under_way) > READ_AHEAD:
                    yield from self._mix(under_way.popleft())
            while under_way:
                yield from self._mix(under_way.popleft())
        finally:
            pool.shutdown(cancel_futures=True)

    def read(self, one: Scene) -> Heard:
        """What a scene is rendered from.

        Raises:
            AudioError: A recording that cannot be read.
        """
        speech = audio.read(Path(one.clean_filepath), one.clean_offset, one.clean_duration)
        noise = mix.join(one.noise, speech.size, self.recordings.read) if one.noise else None
        return Heard(one, speech, noise, cabin.impulse_response(one.cabin) if one.cabin else batch.NO_CABIN)

    def _mix(self, readings: list[Reading]) -> Iterator[Batch]:
        """The batch; none where nothing is left."""
        heard: list[Heard] = []
        for one, future in readings:
            try:
                heard.append(future.result())
            except AudioError as error:
                self.skipped.add(one.id, error)
        if heard:
            rendered, silent = batch.render(heard, self.device)
            for one, reason in silent:
                self.skipped.add(one.id, reason)
            if rendered.scenes:
                yield rendered


class Recordings:
    """Long noise recordings, decoded once and kept while there is room; threads may share it.

    What is kept stays: noise is used in turn, so that what was used last is wanted last, and to drop what was used first
    would drop what comes next. A recording of another sampling rate is not kept, for the cut and then converted piece,
    which `mix.render` uses, differs from a piece of the converted recording.
    """

    def __init__(self, most_bytes: int) -> None:
        """Start with none; `most_bytes` is the memory for all."""
        self.free_bytes = most_bytes
        self.kept: dict[str, Samples | None] = {}  # None: is read piece by piece
        self.lock = Lock()

    def read(self, piece: Piece, samples: int) -> Samples:
        """As `mix.read`."""
        whole = self._recording(piece.audio_filepath)
        if whole is None:
            return mix.read(piece, samples)
        start = round(piece.offset * SAMPLING_RATE)
        block = whole[start : start + min(samples, round(piece.duration * SAMPLING_RATE))]
        return np.pad(block, (0, samples - block.size), mode="edge")

    def _recording(self, path: str) -> Samples | None:
        with self.lock:  # while decoding too, so that no two threads decode the same
            if path not in self.kept:
                self.kept[path] = self._decoded(Path(path))
            return self.kept[path]

    def _decoded(self, path: Path) -> Samples | None:
        header = audio.inspect(path)
        size = round(header.duration * SAMPLING_RATE) * np.dtype(np.float32).itemsize
        if header.duration <= mix.LONGEST_KEPT or header.sampling_rate != SAMPLING_RATE or size > self.free_bytes:
            return None
        samples = audio.read(path)
        self.free_bytes -= samples.nbytes
        return samples
