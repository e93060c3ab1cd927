"""espeak-ng through ctypes, as a program of its own: a pickled call on stdin, its pickled result on stdout.

Only the standard library is imported, so that a fresh process costs little; `voices.call` runs it.
"""

from __future__ import annotations

import ctypes
import pickle
import sys
from typing import Any

PhonemeEvent = tuple[int, int, str]  # position of its word in the text from 1, sample at which it starts, mnemonic

# espeak-ng's interface, from its speak_lib.h: event types, and what espeak_Initialize, _SetParameter, _Synth take.
LIST_END, PHONEME = 0, 7
SYNCHRONOUS, PHONEME_EVENTS, NO_EXIT = 2, 1, 0x8000
RATE, VOLUME, PITCH = 1, 2, 3
QUIET = 70  # of 100: at the full volume some variants clip inside espeak-ng
CHARACTER_POSITION, UTF8 = 1, 1
BETWEEN_PHONEMES = ord(" ") << 8  # how espeak_TextToPhonemes is told to separate mnemonics
SEED = 1  # any will do


class _EventName(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),  # of the word, from 1
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),  # ms
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventName),
    )


def synthesize(
    library_path: str, data_path: str, lines: list[tuple[str, str, int, int]]
) -> tuple[int, list[tuple[bytes, list[PhonemeEvent]]]]:
    """Speak lines of (text, voice, words a minute, pitch).

    Returns:
        The sampling rate in Hz, and for each line its 16-bit samples and phoneme events.
    """
    library = ctypes.CDLL(library_path)
    sampling_rate = library.espeak_Initialize(SYNCHRONOUS, 0, data_path.encode(), PHONEME_EVENTS | NO_EXIT)
    if sampling_rate <= 0:
        sys.exit(f"its data in {data_path} cannot be loaded")
    library.espeak_ng_SetRandSeed(ctypes.c_long(SEED))  # it seeds its flutter and breath from the clock
    chunks: list[bytes] = []
    events: list[PhonemeEvent] = []

    def receive(samples: int | None, count: int, event: Any) -> int:
        if samples and count > 0:
            chunks.append(ctypes.string_at(samples, 2 * count))
        index = 0
        while event[index].type != LIST_END:
            if event[index].type == PHONEME:
                name = bytes(event[index].id.string).split(b"\0")[0].decode("utf-8", "replace")
                events.append((event[index].text_position, event[index].sample, name))
            index += 1
        return 0

    callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))(receive)
    library.espeak_SetSynthCallback(callback)
    spoken = []
    for text, voice, rate, pitch in lines:
        chunks.clear()
        events.clear()
        if library.espeak_SetVoiceByName(voice.encode()) != 0:
            sys.exit(f"it has no voice '{voice}'")
        library.espeak_SetParameter(RATE, rate, 0)
        library.espeak_SetParameter(PITCH, pitch, 0)
        library.espeak_SetParameter(VOLUME, QUIET, 0)
        data = text.encode()
        library.espeak_Synth(data, len(data) + 1, 0, CHARACTER_POSITION, 0, UTF8, None, None)
        library.espeak_Synchronize()
        spoken.append((b"".join(chunks), list(events)))
    return sampling_rate, spoken


def transcribe(library_path: str, data_path: str, texts: list[str], voice: str) -> list[list[str]]:
    """The mnemonics of the phonemes of each text, with their stress marks; nothing is spoken."""
    library = ctypes.CDLL(library_path)
    if library.espeak_Initialize(SYNCHRONOUS, 0, data_path.encode(), NO_EXIT) <= 0:
        sys.exit(f"its data in {data_path} cannot be loaded")
    if library.espeak_SetVoiceByName(voice.encode()) != 0:
        sys.exit(f"it has no voice '{voice}'")
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    transcribed = []
    for text in texts:
        rest = ctypes.c_char_p(text.encode())
        phonemes: list[str] = []
        while rest.value is not None:  # a clause at a time
            phonemes += library.espeak_TextToPhonemes(ctypes.byref(rest), UTF8, BETWEEN_PHONEMES).decode().split()
        transcribed.append(phonemes)
    return transcribed


if __name__ == "__main__":
    functions: dict[str, Any] = {"synthesize": synthesize, "transcribe": transcribe}
    name, arguments = pickle.load(sys.stdin.buffer)
    pickle.dump(functions[name](*arguments), sys.stdout.buffer)
