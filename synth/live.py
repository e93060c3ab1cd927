"""Training straight from scenes: fresh ones each epoch, read ahead by threads and rendered in batches, with no file between.

Epoch 0 has the scenes that `synth` writes to files with the same plan, so that the two ways can be compared. Each later
epoch draws levels, SNRs and cabins anew and goes on with the noise where the epoch before left it: over a whole training,
too, every noise second is used once before any is used twice.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import count
from pathlib import Path

from speechbench.audio import SAMPLING_RATE
from speechbench.errors import AudioError
from speechbench.manifest import Skipped
from speechbench.seeds import seed_of
from synth import batch, mix, scene
from synth.batch import Batch, Map, Raw
from synth.build import Plan
from synth.noise import NoiseBank
from synth.recordings import Recordings
from synth.scene import Scene

READ_AHEAD = 2  # batches that are read while one is rendered and trained on
NOISE_BYTES = SPEECH_BYTES = 2**30  # 4.7 h of decoded audio at 16 kHz
CPU_READERS = 2  # threads; where a GPU renders, every core may read

Reading = tuple[Scene, Future[Raw]]


class Live:
    """A plan whose scenes are rendered while training asks for them.

    To a trainer it is a source of batches per epoch: `batches` is all that it calls.
    """

    def __init__(
        self,
        plan: Plan,
        skipped: Skipped,
        device: str = "cpu",
        noise_bytes: int = NOISE_BYTES,
        speech_bytes: int = SPEECH_BYTES,
    ) -> None:
        """Listen to the noise once, as `synth` does.

        Args:
            plan: What from; clean twins are not rendered.
            skipped: Takes the recordings, and later the utterances, whose audio cannot be used.
            device: "cpu" or "cuda", where the batches are rendered and stay.
            noise_bytes: The most memory for noise that is kept decoded.
            speech_bytes: The same for speech.

        Raises:
            SpeechbenchError: No noise can be used, or no such device.
        """
        self.plan, self.skipped = plan, skipped
        self.device = batch.device_of(device)
        self.reader_count = CPU_READERS if self.device.type == "cpu" else os.cpu_count() or CPU_READERS
        self.recordings, self.speech = Recordings(noise_bytes), Recordings(speech_bytes)
        self.bank = NoiseBank.load(plan.noise, skipped).listen(self.reader_count, skipped, self.recordings)
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
        plan = self.plan
        allotment = scene.allot(self.bank, plan.recipe, plan.seed)
        for epoch in count():
            seed = seed_of(plan.seed, "epoch", epoch) if epoch else plan.seed
            yield list(scene.draw(plan.speech, self.bank, plan.recipe, seed, allotment))

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
        pool, movers = ThreadPoolExecutor(self.reader_count), ThreadPoolExecutor(self.reader_count)
        each: Map = map if self.device.type == "cpu" else movers.map
        under_way: deque[list[Reading]] = deque()
        try:
            for group in groups:
                under_way.append([(one, pool.submit(self.read, one)) for one in group])
                if len(under_way) > READ_AHEAD:
                    yield from self._mix(under_way.popleft(), each)
            while under_way:
                yield from self._mix(under_way.popleft(), each)
        finally:
            pool.shutdown(cancel_futures=True)
            movers.shutdown()

    def read(self, one: Scene) -> Raw:
        """What a scene is rendered from.

        Raises:
            AudioError: A recording that cannot be read, silent noise, events louder than all noise shall be.
        """
        speech = self.speech.read(Path(one.clean_filepath), one.clean_offset, one.clean_duration)
        background, events = mix.noise_of(one, speech.size, self.recordings)
        if background is None or one.snr_db is None:
            return Raw(one, speech, None, mix.response_of(one))
        try:
            laid = mix.lay(background, events, 0.0, one.snr_db)
        except AudioError as error:
            raise mix.named(one, error) from error
        return Raw(one, speech, laid.samples, mix.response_of(one))

    def _mix(self, readings: list[Reading], each: Map) -> Iterator[Batch]:
        """The batch; none where nothing is left."""
        raw: list[Raw] = []
        for one, future in readings:
            try:
                raw.append(future.result())
            except AudioError as error:
                self.skipped.add(one.id, error)
        if raw:
            rendered, silent = batch.render(raw, self.device, each)
            for one, reason in silent:
                self.skipped.add(one.id, reason)
            if rendered.scenes:
                yield rendered
