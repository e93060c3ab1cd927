"""Mixing speed against audiomentations, in one process: decode speech and noise, mix, encode FLAC.

Run: python tests/benchmarks/mixing.py SPEECH.jsonl NOISE.jsonl
Both mix the same utterances from the same noise; only the ratio counts, for machines and their load differ.
"""

import sys
import tempfile
import time
import warnings
from pathlib import Path

import audiomentations

from speechbench import audio, manifest
from speechbench.manifest import Skipped
from synth import cabin, recipe, scene
from synth.noise import NoiseBank
from synth.utterance import rendered

ROUNDS = 3


def ours(scenes: list[scene.Scene], out: Path) -> None:
    for one in scenes:
        data, _ = rendered(one)
        (out / f"{one.id}.flac").write_bytes(data)


def theirs(scenes: list[scene.Scene], out: Path, bank: NoiseBank) -> None:
    files = [noise.audio_filepath for noise in bank.recordings]
    add = audiomentations.AddBackgroundNoise(files, min_snr_db=-5.0, max_snr_db=20.0, p=1.0)
    for one in scenes:
        speech = audio.read(Path(one.clean_filepath), one.clean_offset, one.clean_duration)
        mixed = add(speech, sample_rate=audio.SAMPLING_RATE)
        mixed /= max(1.0, float(abs(mixed).max()))
        (out / f"{one.id}.flac").write_bytes(audio.encode(mixed))


def main() -> None:
    warnings.simplefilter("ignore")
    speech = manifest.read(sys.argv[1])
    bank = NoiseBank.load([Path(sys.argv[2])], Skipped()).listen(1, Skipped())
    plans = {name: list(scene.draw(speech, bank, recipe.load(name), 0)) for name in ("plain", "car")}
    for one in plans["car"]:
        if one.cabin:
            cabin.impulse_response(one.cabin)
    best: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        runs = {
            "audiomentations": lambda: theirs(plans["plain"], out, bank),
            "speechbench plain": lambda: ours(plans["plain"], out),
            "speechbench car": lambda: ours(plans["car"], out),
        }
        for _ in range(ROUNDS):
            for name, run in runs.items():
                start = time.process_time()
                run()
                best[name] = min(best.get(name, 1e9), time.process_time() - start)
    for name, seconds in best.items():
        print(f"{name}: {speech.seconds / seconds:,.0f} audio s/s, ratio {best['audiomentations'] / seconds:.2f}")


if __name__ == "__main__":
    main()
