import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.boundaries import REACH, WINDOW, refine
from speechbench import audio
from speechbench.manifest import Manifest, Utterance
from speechbench.recognizer import Hypothesis, Timed

sys.path.append(str(Path(__file__).parent / "benchmarks"))

import itertools

from boundaries import measure_embedded
from boundaries_compare import phoneme_boundaries, summarise, word_boundaries
from boundaries_strings import LEVEL_DBFS, join_digits

RATE = audio.SAMPLING_RATE


def hiss_and_vowel(change, seconds=0.6):
    """A loud hiss, then a quiet vowel: sounds between which frames of 25 ms are late."""
    rng = np.random.default_rng(0)
    time = np.arange(round(seconds * RATE)) / RATE
    hiss = np.diff(0.2 * rng.standard_normal(time.size + 1))
    vowel = 0.02 * sum(np.sin(2 * np.pi * 120 * n * time) for n in range(1, 9))
    return np.where(time < change, hiss, vowel).astype(np.float32)


def heard(*spans):
    phonemes = tuple(Timed(text, start, end) for text, start, end in spans)
    return Hypothesis("a", "word", words=(Timed("word", spans[0][1], spans[-1][2]),), phonemes=phonemes)


@pytest.mark.parametrize("error", [-0.015, -0.008, 0.0, 0.008, 0.015])
def test_a_boundary_goes_to_where_the_sound_changes(error):
    """Within half of what the finer spectrum sees."""
    refined = refine(heard(("S", 0.1, 0.3 + error), ("AH", 0.3 + error, 0.5)), hiss_and_vowel(0.3))
    first, second = refined.phonemes
    assert first.end == second.start == pytest.approx(0.3, abs=WINDOW / 2)
    assert refined.words == (Timed("word", first.start, second.end),)


def test_where_nothing_changes_the_path_is_right():
    steady = hiss_and_vowel(0.0)
    refined = refine(heard(("AA", 0.2, 0.3), ("AH", 0.3, 0.4)), steady)
    assert [one.start for one in refined.phonemes] == pytest.approx([0.2, 0.3], abs=REACH / 2)


def test_a_change_out_of_reach_is_not_followed():
    refined = refine(heard(("S", 0.1, 0.34), ("AH", 0.34, 0.5)), hiss_and_vowel(0.3))
    assert abs(refined.phonemes[1].start - 0.34) <= REACH + 0.001


@pytest.mark.parametrize("found", [0.29, 0.31, 0.335])
def test_a_stop_behind_a_sound_begins_with_its_closure(found):
    """The vowel ends at 0.3 s, the stop bursts at 0.34 s: a larger change, at which anything but a stop begins."""
    samples = hiss_and_vowel(0.34)[::-1].copy()  # the vowel ends at 0.26 s, from where on it hisses
    samples[round(0.26 * RATE) : round(0.3 * RATE)] *= 0.001
    samples = np.concatenate([np.zeros(round(0.04 * RATE), dtype=np.float32), samples])
    path = [("AH", 0.1, found), ("T", found, 0.4)]
    assert refine(heard(*path), samples).phonemes[1].start == pytest.approx(0.3, abs=WINDOW / 2)
    if found > 0.32:
        after = refine(heard(*path[:1], ("S", *path[1][1:])), samples)
        assert after.phonemes[1].start == pytest.approx(0.34, abs=WINDOW / 2)


def test_a_stop_behind_silence_begins_where_the_path_has_it_or_the_sound_sets_in():
    samples = hiss_and_vowel(0.6)
    samples[: round(0.3 * RATE)] *= 0.001
    assert refine(heard(("T", 0.31, 0.5)), samples).phonemes[0].start == pytest.approx(0.3, abs=WINDOW / 2)


@given(st.lists(st.integers(3, 20), min_size=1, max_size=20), st.integers(0, 20), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_order_and_edges_are_kept(frames, before, seed):
    ends = (np.cumsum([before, *frames]) - 0.5) / 100
    times = np.maximum(0.0, ends).round(3).tolist()
    noise = np.random.default_rng(seed).standard_normal(round((times[-1]) * RATE)).astype(np.float32)
    spans = ((("AH", "T")[number % 2], a, b) for number, (a, b) in enumerate(itertools.pairwise(times)))
    refined = refine(heard(*spans), 0.1 * noise)
    moved = [refined.phonemes[0].start, *(one.end for one in refined.phonemes)]
    assert moved[1:-1] == [one.start for one in refined.phonemes][1:]
    assert all(a < b for a, b in itertools.pairwise(moved)) and moved[0] >= 0.0 and moved[-1] <= times[-1] + 1e-9


def test_what_has_no_times_stays():
    for nothing in (Hypothesis("a", ""), Hypothesis("a", "", words=(), phonemes=())):
        assert refine(nothing, np.zeros(RATE // 20, dtype=np.float32)) == nothing


def test_only_boundaries_that_both_have_are_compared():
    true = [Timed("s", 0.1, 0.2), Timed("t", 0.2, 0.3), Timed("A@", 0.3, 0.5), Timed("n", 0.5, 0.6), Timed("@2", 0.6, 0.7)]
    found = [Timed("S", 0.11, 0.2), Timed("AA", 0.29, 0.4), Timed("R", 0.4, 0.48), Timed("N", 0.48, 0.6), Timed("IH", 0.6, 0.7)]
    boundaries = {boundary.kind: boundary.error for boundary in phoneme_boundaries(true, found)}
    expected = {"start > fricative": 0.01, "liquid or glide > nasal": -0.02, "nasal > vowel": 0.0}
    assert boundaries == pytest.approx(expected)  # "t" is not found, so that the vowel begins behind something else


def test_summaries_tell_bias_and_shares():
    true = [Timed("a", 0.0, 0.5), Timed("b", 0.5, 1.0)]
    found = [Timed("a", 0.0, 0.515), Timed("b", 0.515, 1.045)]
    summary = summarise(word_boundaries(true, found))
    assert summary["boundaries"] == 4 and summary["within_10_ms"] == 0.25 and summary["within_20_ms"] == 0.75
    assert summary["within_50_ms"] == 1.0 and summary["median_ms"] == 15.0
    assert summarise(word_boundaries(true, found, edges=[0.5]))["boundaries"] == 2


def test_joined_digits_lie_where_they_are_said(tmp_path):
    rows = []
    for number in range(12):
        path = tmp_path / f"{number}.wav"
        silent = np.zeros(800, dtype=np.float32)
        audio.write(path, np.concatenate([silent, hiss_and_vowel(0.2)[: 4000 + 80 * number], silent]))
        rows.append(Utterance(path.stem, path, 0.4, text="six", speaker="ann" if number % 2 else "bob"))
    Manifest(tuple(rows)).write(tmp_path / "digits.jsonl")
    strings = join_digits(tmp_path / "digits.jsonl", tmp_path / "strings")
    assert sum(len(one.words) for one in strings) == 12
    for one in strings:
        samples = one.samples()
        spoken = np.zeros(samples.size, dtype=bool)
        for start, end, _ in one.get("alignments")["words"]:
            inside = slice(round(start * RATE), round(end * RATE))
            spoken[inside] = True
            assert 0.245 < end - start < 0.31
            assert 10 * np.log10(np.mean(samples[inside] ** 2)) == pytest.approx(LEVEL_DBFS, abs=0.5)
        assert 20 * np.log10(np.std(samples[~spoken])) < LEVEL_DBFS - 30


@pytest.mark.slow
def test_phoneme_boundaries_of_unheard_voices(tmp_path):
    """With a fifth of the embedded corpus; docs/decoding.md has the figures with all of it."""
    pytest.importorskip("espeakng_loader")
    rows = measure_embedded(tmp_path, "--set", "utterances_per_speaker=10", "--set", "held_out_per_speaker=8")
    phonemes = rows["embedded, phoneme start"]
    assert phonemes["boundaries"] > 1000
    assert phonemes["within_20_ms"] > 0.85 and phonemes["within_50_ms"] > 0.95 and abs(phonemes["median_ms"]) < 5.0
