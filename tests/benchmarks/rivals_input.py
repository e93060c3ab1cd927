"""What Sphinx's tools read: settings of the front end, audio as raw files, and a dictionary."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from speechbench.lexicon import Lexicon
from speechbench.manifest import Manifest

SILENCE = "SIL"
FILLERS = f"<s> {SILENCE}\n</s> {SILENCE}\n<sil> {SILENCE}\n"
# Of the front end: band edges in Hz and filters, as the recipe sets them for wide-band and for telephone speech.
BANDS = {
    "wide": ("-lowerf", "130", "-upperf", "6800", "-nfilt", "25"),
    "telephone": ("-lowerf", "200", "-upperf", "3500", "-nfilt", "15"),
}
CEPSTRA = ("-transform", "dct", "-lifter", "22")


@dataclass(frozen=True)
class Settings:
    """What is varied between trainings."""

    band: str = "wide"  # of BANDS
    senones: int = 200
    gaussians: int = 8  # a power of two
    remove_silence: bool = True
    mean: str = "batch"  # of the cepstra, taken out: batch (of the utterance), live (running, over utterances) or none
    variance: bool = False  # normalise the variance too
    context: bool = True  # triphones; else phonemes

    @property
    def front_end(self) -> tuple[str, ...]:
        """Options of sphinx_fe and pocketsphinx."""
        return (*BANDS[self.band], *CEPSTRA, "-remove_silence", "yes" if self.remove_silence else "no")

    @property
    def features(self) -> tuple[str, ...]:
        """Options of all that read cepstra."""
        return ("-feat", "1s_c_d_dd", "-agc", "none", "-cmn", self.mean, "-varnorm", "yes" if self.variance else "no")


@dataclass(frozen=True)
class Audio:
    """A set as raw 16-bit files that are numbered: names that no tool stumbles on."""

    folder: Path
    ids: tuple[str, ...]
    seconds: float

    @property
    def control(self) -> Path:
        """The list of file names, without endings."""
        return self.folder / "files"


def write_audio(data: Manifest, folder: Path) -> Audio:
    """Write a set for Sphinx's tools, 16 kHz; what is there already is taken."""
    audio = Audio(folder, tuple(utterance.id for utterance in data), data.seconds)
    if not audio.control.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for number, utterance in enumerate(data):
            samples = np.clip(np.round(utterance.samples() * 32768.0), -32768, 32767).astype("<i2")
            (folder / f"{number}.raw").write_bytes(samples.tobytes())
        audio.control.write_text("".join(f"{number}\n" for number in range(len(data))))
    return audio


def trainable(lexicon: Lexicon) -> Lexicon:
    """The pronunciations whose phonemes all occur in the first ones: Baum-Welch takes those, so it learns no other phonemes."""
    learnt = {phoneme for variants in lexicon.values() for phoneme in variants[0]}
    return {word: tuple(p for p in variants if learnt.issuperset(p)) for word, variants in lexicon.items()}


def write_dictionary(lexicon: Lexicon, folder: Path) -> None:
    """Write `dictionary` and `fillers` in Sphinx's format: the second pronunciation of a word is "word(2)"."""
    lines = [
        f"{word}{f'({number})' if number > 1 else ''} {' '.join(phonemes)}\n"
        for word, variants in lexicon.items()
        for number, phonemes in enumerate(variants, start=1)
    ]
    (folder / "dictionary").write_text("".join(lines))
    (folder / "fillers").write_text(FILLERS)
