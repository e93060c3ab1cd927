"""Training straight from scenes: fresh ones each epoch, read ahead and rendered in batches, with no file between.

Epoch 0 has the scenes that `synth` writes to files with the same plan, so that the two ways can be compared. Each later
epoch draws levels, SNRs and cabins anew and goes on with the noise where the epoch before left it: over a whole training,
too, every noise second is used once before any is used twice.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import count

from speechbench.audio import SAMPLING_RATE
from speechbench.manifest import Skipped
from speechbench.seeds import seed_of
from synth import batch, scene
from synth.apart import Apart
from synth.batch import Batch
from synth.build import Plan
from synth.noise import NoiseBank
from synth.reading import AUDIO_BYTES, Failed, Raw, Reader, Rows, finished, side_by_side
from synth.recordings import Lent
from synth.scene import Scene

READ_AHEAD = 2  # batches that are read while one is rendered and trained on
BRIEF = 4  # scenes that are drawn before others may have Python's lock: who trains would wait 5 ms before each operation
CPU_READERS = 2  # threads; where a GPU renders, every core may read


class Live:
    """A plan whose scenes are rendered while training asks for them.

    To a trainer it is a source of batches per epoch: `batches` is all that it calls.
    """

    def __init__(
        self,
        plan: Plan,
        skipped: Skipped,
        device: str = "cpu",
        apart: Apart | None = None,
        noise_bytes: int = AUDIO_BYTES,
        speech_bytes: int = AUDIO_BYTES,
    ) -> None:
        """Listen to the noise once, as `synth` does.

        Args:
            plan: What from; clean twins are not rendered.
            skipped: Takes the recordings, and later the utterances, whose audio cannot be used.
            device: "cpu" or "cuda", where the batches are rendered and stay.
            apart: Reads what they are rendered from; without it threads of this process do.
            noise_bytes: The most memory for noise that is kept decoded.
            speech_bytes: The same for speech.

        Raises:
            SpeechbenchError: No noise can be used, or no such device.
        """
        self.plan, self.skipped = plan, skipped
        self.device = batch.device_of(device)
        self.reader_count = CPU_READERS if self.device.type == "cpu" else os.cpu_count() or CPU_READERS
        self.reader = Reader(noise_bytes, speech_bytes)
        self.bank = NoiseBank.load(plan.noise, skipped).listen(self.reader_count, skipped, self.reader.recordings)
        self.apart = apart
        self.lent: tuple[Lent | None, Lent | None] = (None, None)  # noise and speech
        if apart is not None:
            apart.pin = batch.pinned if self.device.type == "cuda" else None
            self.reader.speech.keep([utterance.audio_filepath for utterance in plan.speech], self.reader_count)
            self.lent = apart.lend(self.reader.recordings), apart.lend(self.reader.speech)
        self._pool = ThreadPoolExecutor(1)  # draws each epoch's scenes while the one before is trained on
        self._restart()

    def _restart(self) -> None:
        self._epochs = self._draw()
        self._scenes, self._drawn = list[Scene](), -1  # of the epoch that was asked for last
        self._following = self._pool.submit(next, self._epochs)

    def scenes(self, epoch: int) -> list[Scene]:
        """The scenes of an epoch, the same whenever it is asked for; their ids are the same in each epoch.

        Going back, or far ahead, draws again what came before: about as long as a dry run of `synth` for each epoch.

        Raises:
            SpeechbenchError: No noise for an utterance's split or a condition.
        """
        if epoch < self._drawn:
            self._restart()
        while self._drawn < epoch:
            self._scenes = self._following.result()
            self._drawn += 1
            self._following = self._pool.submit(next, self._epochs)
        return self._scenes

    def _draw(self) -> Iterator[list[Scene]]:
        plan = self.plan
        allotment = scene.allot(self.bank, plan.recipe, plan.seed)
        for epoch in count():
            seed = seed_of(plan.seed, "epoch", epoch) if epoch else plan.seed
            scenes = list[Scene]()
            for one in scene.draw(plan.speech, self.bank, plan.recipe, seed, allotment):
                scenes.append(one)
                if len(scenes) % BRIEF == 0:
                    time.sleep(0)
            if self.apart is not None:
                self.apart.enter(one.cabin for one in scenes)
            yield scenes

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
        batch. A few groups are read ahead, so that memory stays bounded.
        """
        read = self._here(groups) if self.apart is None else self.apart.read(groups, *self.lent)
        with closing(read):
            for rows, failed in read:
                rendered, silent = batch.render(rows, self.device) if rows else (None, [])
                for one, reason in (*failed, *silent):
                    self.skipped.add(one.id, reason)
                if rendered and rendered.scenes:
                    yield rendered

    def _here(self, groups: Iterable[Sequence[Scene]]) -> Generator[tuple[Rows | None, Failed], None, None]:
        """Read by threads; at most `READ_AHEAD` groups and the one under way are in memory."""
        pool = ThreadPoolExecutor(self.reader_count)
        under_way: deque[list[tuple[Scene, Future[Raw]]]] = deque()

        def first() -> tuple[Rows | None, Failed]:
            raw, failed = finished(under_way.popleft())
            return side_by_side(raw) if raw else None, failed

        try:
            for group in groups:
                under_way.append(self.reader.submit(group, pool))
                if len(under_way) > READ_AHEAD:
                    yield first()
            while under_way:
                yield first()
        finally:
            pool.shutdown(cancel_futures=True)
