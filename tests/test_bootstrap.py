import numpy as np
import pytest
from planted_errors import plant

from speechbench.diagnostics import ScoredSet, bootstrap
from speechbench.diagnostics.scored import measure_change, measure_spread
from speechbench.errors import SpeechbenchError
from speechbench.manifest import Manifest


def rng(seed=0):
    return np.random.default_rng(seed)


def test_rates_are_pooled():
    blocks = bootstrap.Blocks.of("speaker", ["a", "b", "a"], np.array([1.0, 0, 2]), np.array([1.0, 96, 3]))
    assert blocks.rate == pytest.approx(0.03)
    assert blocks.errors.tolist() == [3, 0]


def test_spread_of_equal_blocks_is_the_standard_error():
    errors = rng().poisson(10, 200).astype(float)
    blocks = bootstrap.Blocks("utterance", errors, np.full(200, 100.0))
    drawn = bootstrap.resample(blocks, rng(1)).draws
    assert np.std(drawn) == pytest.approx(np.std(errors / 100, ddof=1) / np.sqrt(200), rel=0.06)


def test_speaker_blocks_cover_where_utterances_do_not():
    covered = {"speaker": 0, "utterance": 0}
    trials, truth = 60, 0.10
    for trial in range(trials):
        random = rng([7, trial])
        speaker = np.repeat(np.arange(10), 20)
        rates = random.gamma(4, truth / 4, 10)[speaker]
        words = np.full(200, 10.0)
        errors = random.poisson(rates * words).astype(float)
        for kind, labels in (("speaker", speaker), ("utterance", np.arange(200))):
            blocks = bootstrap.Blocks.of(kind, [str(label) for label in labels], errors, words)
            low, high = bootstrap.resample(blocks, random).interval()
            covered[kind] += low <= truth <= high
    assert covered["speaker"] >= 0.85 * trials
    assert covered["utterance"] <= 0.75 * trials


def test_the_wider_of_speakers_and_noise_sources_is_reported():
    scored = plant("dev", 0.2, utterances=240, speakers=24, spread=0.0, noise=True)
    by_car = np.array([40.0 if u.extra["noise"][0]["source"] in ("car0", "car1") else 0.0 for u in scored.manifest])
    object.__setattr__(scored, "errors", by_car)
    assert measure_spread("dev", scored, 0).kind == "noise source"


def test_no_error_is_not_certainty():
    spread = measure_spread("dev", plant("dev", 0.0), 0)
    low, high = spread.estimate.interval()
    assert low == 0.0
    assert 0.001 < high < 0.01


def test_unknown_speakers_are_said():
    scored = plant("dev", 0.1)
    bare = Manifest(tuple(_without_speaker(u) for u in scored.manifest))
    spread = measure_spread("dev", ScoredSet(bare, scored.hypotheses), 0)
    assert (spread.kind, spread.blocks) == ("utterance", 120)
    assert "no speaker" in spread.notes[0]


def _without_speaker(utterance):
    import dataclasses

    return dataclasses.replace(utterance, speaker=None)


def test_pairing_sees_what_independent_draws_do_not():
    before, after = (plant("dev", rate, spread=0.8) for rate in (0.20, 0.17))
    paired = measure_change("dev", after, before, 0).interval()
    apart = bootstrap.difference(
        measure_spread("dev", after, 0).estimate, measure_spread("other", before, 0).estimate
    ).interval()
    assert paired[1] < 0 < apart[1]


def test_systems_on_different_utterances_are_not_compared():
    with pytest.raises(SpeechbenchError, match="different utterances"):
        measure_change("dev", plant("dev", 0.1), plant("dev", 0.1, utterances=60), 0)


def test_same_seed_same_draws():
    scored = plant("dev", 0.1)
    first, second, other = (measure_spread("dev", scored, seed).estimate.draws for seed in (0, 0, 1))
    assert np.array_equal(first, second)
    assert not np.array_equal(first, other)


def test_many_blocks_are_drawn_in_chunks(monkeypatch):
    blocks = bootstrap.Blocks("utterance", np.ones(100), np.full(100, 10.0))
    monkeypatch.setattr(bootstrap, "CHUNK", 700)
    assert bootstrap.resample(blocks, rng()).draws.shape == (bootstrap.RESAMPLES,)


def test_speakers_and_noise_sources_add_up():
    """Both vary: wider than by either alone; one varies: as wide as by it; neither: as wide as by utterances."""
    speaker, source = np.divmod(np.arange(400), 20)
    labels = [[f"{name}" for name in column] for column in (speaker, source)]
    words = np.full(400, 10.0)
    effects = np.exp(rng().normal(0, 0.5, (2, 20)))

    def width(errors):
        ways = tuple(bootstrap.Blocks.of(k, c, errors, words) for k, c in zip(("speaker", "noise source"), labels, strict=True))
        both = bootstrap.Blocks("both", errors, words)
        crossed, alone = bootstrap.Ways(ways, both), bootstrap.Ways(ways)
        ends = [way.resample(0, "x").interval() for way in (crossed, alone)]
        return [high - low for low, high in ends]

    crossed, alone = width(2 * effects[0][speaker] * effects[1][source])
    assert crossed > 1.2 * alone
    crossed, alone = width(2 * effects[0][speaker] + 0.01 * rng().random(400))
    assert crossed == pytest.approx(alone, rel=0.05)
    crossed, alone = width(2.0 * ((speaker + source) % 2))  # all speakers and all sources err alike
    assert crossed == pytest.approx(2 * 1.96 * 0.1 / 400**0.5, rel=0.1)
    assert alone == 0


def test_a_bad_speaker_multiplies():
    estimate = bootstrap.multiplied(bootstrap.Estimate(0.1, np.array([0.0, 0.1, 0.2])))
    assert estimate.draws == pytest.approx([0.1 / np.e, 0.1, 0.1 * np.e])


def test_few_utterances_that_differ_decide_nothing():
    before, after = plant("dev", 0.2), plant("dev", 0.2)
    vars(after)["errors"] = before.errors.copy()
    wrong = np.flatnonzero(before.errors > 0)[:6]
    vars(after)["errors"][wrong] -= 1
    change = measure_change("dev", after, before, 0)
    assert change.value < 0
    assert "differ in 6 utterances" in change.doubt


def test_ends_of_an_interval_are_plain_numbers():
    ends = bootstrap.Estimate(np.float64(0.2), np.linspace(0.1, 0.3, 100)).interval()
    assert [type(end) for end in ends] == [float, float]
