import itertools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechbench.errors import SpeechbenchError
from speechbench.language_model import measure, read_arpa, train_ngram

TEXTS = ["turn the radio on", "turn the lights off", "turn on the radio", "call mum", "call mum now", "turn the radio off"]


def oracle(path):
    """Its own reading of an ARPA file: P(word | history) by the definition of back-off (Katz 1987)."""
    table, order = {}, 0
    for line in path.read_text().splitlines():
        if header := re.match(r"\\(\d)-grams:", line):
            order = int(header[1])
        elif order and "\t" in line:
            number, words, *backoff = line.split("\t")
            table[tuple(words.split(" "))] = 10 ** float(number), 10 ** float(backoff[0]) if backoff else 1.0

    def probability(history, word):
        if (*history, word) in table:
            return table[*history, word][0]
        if not history:
            return 0.0
        return table.get(history, (0.0, 1.0))[1] * probability(history[1:], word)

    return table, probability


def train(folder, texts, order=3):
    train_ngram(texts, folder / "lm.arpa", order)
    return folder / "lm.arpa"


def all_histories(texts, order):
    """Every history that can be met: after the start, or any words at all."""
    words = sorted({word for text in texts for word in text.split()})
    for length in range(order):
        yield from itertools.product(words, repeat=length)
        if length:
            yield from (("<s>", *rest) for rest in itertools.product(words, repeat=length - 1))


def assert_sums_to_1(path, texts, order):
    _, probability = oracle(path)
    words = {word for text in texts for word in text.split()} | {"</s>"}
    for history in all_histories(texts, order):
        assert sum(probability(history, word) for word in words) == pytest.approx(1, abs=1e-5), history


@pytest.mark.parametrize("order", [1, 2, 3])
def test_probabilities_sum_to_1_after_every_history(tmp_path, order):
    assert_sums_to_1(train(tmp_path, TEXTS, order), TEXTS, order)


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=6).map(" ".join), min_size=1, max_size=12))
@settings(max_examples=60, deadline=None)
def test_small_vocabularies_sum_to_1_and_never_gain_by_backing_off(tmp_path_factory, texts):
    folder = tmp_path_factory.mktemp("lm")
    for order in (2, 3):
        path = train(folder, texts, order)
        assert_sums_to_1(path, texts, order)
        table, probability = oracle(path)
        for ngram, (explicit, _) in table.items():  # the search is free to back off where it need not
            if len(ngram) > 1:
                assert table[ngram[:-1]][1] * probability(ngram[1:-1], ngram[-1]) <= explicit * 1.0001


@pytest.mark.parametrize(
    "texts",
    [["one two three"], ["alpha"], ["a b c d", "e f g h"], ["a b"] * 5, ["a"] * 9, ["the cat sat"] * 4 + ["the dog ran"] * 4],
    ids=["one sentence", "one word", "nothing twice", "all alike", "one word often", "two sentences often"],
)
def test_texts_where_no_ngram_repeats_or_all_repeat(tmp_path, texts):
    path = train(tmp_path, texts)
    assert_sums_to_1(path, texts, 3)
    assert measure(path, texts).perplexity <= len({w for text in texts for w in text.split()}) + 1.0001  # uniform


def test_perplexity_by_hand(tmp_path):
    arpa = tmp_path / "lm.arpa"
    arpa.write_text(
        "\\data\\\nngram 1=4\nngram 2=3\n\n\\1-grams:\n-99\t<s>\t-0.5\n-0.4\ta\t-0.2\n-0.6\tb\t-0.1\n-0.7\t</s>\n\n"
        "\\2-grams:\n-0.1\t<s> a\n-0.3\ta b\n-0.2\tb </s>\n\n\\end\\\n"
    )
    seen = measure(arpa, ["a b"])
    assert (seen.words, seen.oov) == (2, 0)
    assert seen.perplexity == pytest.approx(10 ** ((0.1 + 0.3 + 0.2) / 3))
    # b after <s> backs off; a after b backs off; </s> after a backs off
    assert measure(arpa, ["b a"]).perplexity == pytest.approx(10 ** ((0.5 + 0.6 + 0.1 + 0.4 + 0.2 + 0.7) / 3))
    outside = measure(arpa, ["a zebra b", "zebra"])  # left out; of "zebra" only the sentence's end is left
    assert (outside.words, outside.oov) == (4, 2)
    assert outside.perplexity == pytest.approx(10 ** ((0.1 + 0.3 + 0.2 + 0.5 + 0.7) / 4))


def test_log10_against_the_oracle(tmp_path):
    path = train(tmp_path, TEXTS)
    model, (_, probability) = read_arpa(path), oracle(path)
    for history in [(), ("<s>",), ("turn", "the"), ("now", "mum"), ("<s>", "off"), ("a", "very", "long", "turn", "the")]:
        for word in ["radio", "mum", "</s>"]:
            assert model.log10(history, word) == pytest.approx(math.log10(probability(history[-2:], word)), abs=1e-5)
    assert model.log10((), "zebra") == -math.inf


def test_perplexity_rewards_the_right_order_of_words(tmp_path):
    path = train(tmp_path, TEXTS)
    assert measure(path, ["turn the radio on"]).perplexity < measure(path, ["on radio the turn"]).perplexity


def test_kneser_ney_by_hand(tmp_path):
    # Bigrams: <s> a 2, a b 2, a c 1, b </s> 2, c </s> 1, <s> c 1, c a 1; discount n1 / (n1 + 2 n2) = 4 / (4 + 6) = 0.4.
    # Unigrams count distinct words before: a 2 (<s>, c), b 1, c 2 (a, <s>), </s> 2 (b, c); 7 in all.
    _, probability = oracle(train(tmp_path, ["a b", "c a b", "a c"], 2))
    assert probability((), "a") == pytest.approx(2 / 7, abs=1e-6)
    left = 0.4 * 2 / 3  # b and c have followed a
    assert probability(("a",), "b") == pytest.approx((2 - 0.4) / 3 + left * 1 / 7, abs=1e-6)
    assert probability(("a",), "c") == pytest.approx((1 - 0.4) / 3 + left * 2 / 7, abs=1e-6)
    assert probability(("a",), "</s>") == pytest.approx(left * 2 / 7, abs=1e-6)


def test_same_text_same_bytes(tmp_path):
    first = train(tmp_path, TEXTS).read_bytes()
    assert train(tmp_path, TEXTS).read_bytes() == first


def test_words_are_the_texts_words(tmp_path):
    texts = ["Zoo é ß 日本 it's", "a #1 (laughs) \u00a0 b"]
    assert read_arpa(train(tmp_path, texts)).words == sorted({word for text in texts for word in text.split()})


@pytest.mark.parametrize("word", ["<s>", "</s>", "<eps>", "#0"])
def test_reserved_words_are_refused_by_name(tmp_path, word):
    with pytest.raises(SpeechbenchError, match=f"reserved words: {word};"):
        train(tmp_path, ["a b", f"a {word} b"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("texts", [[], [""], ["  ", "\t"]])
def test_no_text(tmp_path, texts):
    with pytest.raises(SpeechbenchError, match="no text"):
        train(tmp_path, texts)


def test_order_below_1(tmp_path):
    with pytest.raises(SpeechbenchError, match="expected 1 or more"):
        train(tmp_path, TEXTS, 0)


GOOD = (
    "made by hand\n\n\\data\\\nngram 1=5\nngram 2=2\n\n\\1-grams:\n-99\t<s>\t-0.3\n-0.5 a -0.2\n-0.5\tb\n-3\t<unk>\n"
    "-0.4\t</s>\n\n\\2-grams:\n-0.3\t<s> a\n-0.3\tb </s>\n\n\\end\\\n"
)


def test_words_of_a_file_from_elsewhere(tmp_path):
    for name, text in (("unix", GOOD), ("dos", GOOD.replace("\n", "\r\n")), ("tail", GOOD + "\nmore\n")):
        (tmp_path / name).write_bytes(text.encode())
        assert read_arpa(tmp_path / name).words == ["a", "b"]


BAD = {
    "no ARPA": ("hello\n", r"holds no \\data\\ section"),
    "empty": ("", r"holds no \\data\\ section"),
    "cut off": (GOOD[:-30], "and has no .*end.*cut off"),
    "cut off in the counts": (GOOD[:30], "holds {1: 0}"),
    "not a number": (GOOD.replace("-0.3\t<s> a", "x\t<s> a"), "line 15: could not convert string to float: 'x'"),
    "a word too few": (GOOD.replace("<s> a", "a"), "line 15: not a line of an ARPA language model: '-0.3\ta'"),
    "an n-gram too few": (GOOD.replace("-0.3\t<s> a\n", ""), "announces {1: 5, 2: 2} n-grams by order, holds {1: 5, 2: 1}"),
    "no end": (GOOD.replace("-0.4\t</s>\n", "").replace("1=5", "1=4"), "its 1-grams need </s>"),
    "no word": ("\\data\\\nngram 1=1\n\n\\1-grams:\n-1\t</s>\n\n\\end\\\n", "at least one word"),
    "reserved": (GOOD.replace("b", "#0"), "#0 cannot be a word"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused(tmp_path, name):
    text, message = BAD[name]
    (tmp_path / "bad.arpa").write_text(text)
    with pytest.raises(SpeechbenchError, match=f"bad.arpa: .*{message}"):
        read_arpa(tmp_path / "bad.arpa")


def test_files_that_are_no_text(tmp_path):
    with pytest.raises(SpeechbenchError, match="no such file"):
        read_arpa(tmp_path / "absent.arpa")
    (tmp_path / "lm.arpa.gz").write_bytes(np.random.default_rng(0).bytes(100))
    with pytest.raises(SpeechbenchError, match="cannot be read as UTF-8"):
        read_arpa(tmp_path / "lm.arpa.gz")
