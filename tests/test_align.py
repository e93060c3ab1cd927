import numpy as np
import pytest
import torch
from planted_scores import hmm_columns, plant

from pipelines.graph import Topology, units_on
from pipelines.phoneme.align import Corpus, align_one, flat_start

LEXICON = {"tea": (("T", "IY"),), "mate": (("M", "EY", "T"),)}
TOPOLOGY = Topology(("SIL", "EY", "IY", "M", "T"), "SIL", 3)
UNITS = {"tea mate": ["SIL", "T", "IY", "SIL", "M", "EY", "T", "SIL"], "mate": ["SIL", "M", "EY", "T"]}


@pytest.fixture
def corpus():
    made = Corpus(TOPOLOGY, LEXICON)
    for text, units in UNITS.items():
        # The features are the scores themselves.
        features = torch.from_numpy(plant(hmm_columns(TOPOLOGY, units, 5), 15))
        assert made.add(text, features, features, text.split())
    return made


def test_too_short_utterances_are_refused():
    corpus = Corpus(TOPOLOGY, LEXICON)
    assert not corpus.add("short", torch.zeros(14, 3), torch.zeros(14, 3), ["tea", "mate"])
    assert corpus.add("fits", torch.zeros(15, 3), torch.zeros(15, 3), ["tea", "mate"])
    assert corpus.ids == ["fits"]
    assert len(corpus.features) == len(corpus.graphs) == 1
    assert len(align_one(corpus.graphs[0], np.zeros((15, 15), np.float32))) == 15


def test_planted_alignment_is_found(corpus):
    for path, units in zip(corpus.align(lambda features: 10 * features), UNITS.values(), strict=True):
        assert path.tolist() == hmm_columns(TOPOLOGY, units, 5)


def test_scores_far_apart_are_aligned_all_the_same(corpus):
    """Early mixtures can be hopelessly wrong: the search goes wider until it ends."""
    rng = np.random.default_rng(0)
    for features, graph in zip(corpus.features, corpus.graphs, strict=True):
        scores = rng.normal(0, 3000, features.shape).astype(np.float32)
        assert len(align_one(graph, scores)) == len(features)


@pytest.mark.slow
def test_a_long_sentence_with_no_frame_to_spare():
    """All states stay open while all paths look alike: no limit may cut the end off."""
    corpus, words = Corpus(TOPOLOGY, LEXICON), ["tea", "mate"] * 250
    features = torch.zeros(15 * 250, 15)
    assert corpus.add("long", features, features, words)
    (path,) = corpus.align(lambda features: features)
    assert [unit for unit, _, _ in units_on(path, TOPOLOGY)] == ["T", "IY", "M", "EY", "T"] * 250


def test_flat_start_puts_silence_where_it_is_quiet_and_spreads_the_rest(corpus):
    quiet, loud = torch.full((15,), -9.0), torch.zeros(30)
    energies = [torch.cat([quiet, loud, quiet, loud, loud[:15], quiet]), torch.cat([quiet, loud, loud[:15]])]
    first, second = flat_start(corpus, energies)
    spans = [(unit, end - start) for unit, start, end in units_on(first, TOPOLOGY)]
    units = [unit for unit, _ in spans]
    assert units == UNITS["tea mate"]
    assert [length for unit, length in spans if unit == "SIL"] == [15, 15, 15]
    assert [length for unit, length in spans if unit != "SIL"] == [15] * 5
    assert [(unit, end - start) for unit, start, end in units_on(second, TOPOLOGY)] == [(u, 15) for u in UNITS["mate"]]
    assert np.bincount(second, minlength=15)[TOPOLOGY.units.index("M") * 3 :][:3].tolist() == [5, 5, 5]


def test_flat_start_of_even_energy_goes_through_the_words(corpus):
    alignments = flat_start(corpus, [torch.zeros(len(features)) for features in corpus.features])
    for path, text in zip(alignments, UNITS, strict=True):
        said = [unit for unit, _, _ in units_on(path, TOPOLOGY) if unit != "SIL"]
        assert said == [unit for unit in UNITS[text] if unit != "SIL"]


def test_noisy_speech_is_aligned_as_its_clean_twin():
    corpus = Corpus(TOPOLOGY, LEXICON)
    columns = hmm_columns(TOPOLOGY, UNITS["mate"], 5)
    noise = torch.from_numpy(np.random.default_rng(0).normal(0, 9, (len(columns), 15)).astype(np.float32))
    assert corpus.add("mate", noise, torch.from_numpy(plant(columns, 15)), ["mate"])
    assert corpus.align(lambda features: 10 * features)[0].tolist() == columns
    assert corpus.features[0] is noise
