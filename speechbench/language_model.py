"""n-gram language models with Kneser-Ney smoothing, in ARPA format."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kaldingram.ppl import compute_ppl
from kaldingram.prune import ArpaParser
from kaldingram.train import NgramCounts

from speechbench.errors import SpeechbenchError
from speechbench.files import read_text, write_text

# Kneser-Ney's discount n1 / (n1 + 2 n2) is 1 when no n-gram occurs twice, which would leave seen n-grams no probability.
MOST_DISCOUNT = 0.9


def train_ngram(texts: Iterable[str], path: Path, order: int = 3) -> None:
    """Estimate a back-off n-gram with Kneser-Ney smoothing from sentences and write it as ARPA.

    Source: Kneser and Ney 1995, as in SRILM's `ngram-count -ukndiscount`; n1 and n2 are counts of counts.

    Raises:
        SpeechbenchError: There is no text.
    """
    sentences = [" ".join(text.split()) for text in texts if text.strip()]
    if not sentences:
        raise SpeechbenchError("there is no text to estimate a language model from")
    counts = NgramCounts(order)
    with contextlib.redirect_stderr(io.StringIO()):  # its progress bars
        for sentence in sentences:
            counts.add_raw_counts_from_line(sentence)
        counts.cal_discounting_constants()
        counts.d = [min(discount, MOST_DISCOUNT) for discount in counts.d]
        counts.cal_f()
        counts.cal_bow()
        arpa = io.StringIO()
        counts.print_as_arpa(fout=arpa)
    write_text(path, arpa.getvalue())


def vocabulary(path: Path) -> list[str]:
    """The words of an ARPA file's unigrams, sorted, without sentence marks.

    Raises:
        SpeechbenchError: The file is no ARPA language model.
    """
    section = re.search(r"^\\1-grams:\s*\n(.*?)^\\", read_text(path), re.MULTILINE | re.DOTALL)
    if section is None:
        raise SpeechbenchError(f"{path}: holds no \\1-grams: section; expected an ARPA language model")
    words = {line.split()[1] for line in section.group(1).splitlines() if len(line.split()) >= 2}
    return sorted(words - {"<s>", "</s>", "<unk>", "<UNK>"})


@dataclass(frozen=True)
class Perplexity:
    """How well a language model predicts texts: per word and sentence end, words outside its vocabulary left out."""

    perplexity: float
    words: int
    oov: int


def measure(path: Path, texts: Iterable[str]) -> Perplexity:
    """Perplexity and out-of-vocabulary count of an ARPA model on texts."""
    known = set(vocabulary(path))
    sentences = [text.split() for text in texts]
    inside = [" ".join(word for word in sentence if word in known) for sentence in sentences]
    with contextlib.redirect_stderr(io.StringIO()):
        (model,) = ArpaParser().loadf(str(path), encoding="utf-8")
        result = compute_ppl(model, inside)
    words = sum(map(len, sentences))
    return Perplexity(float(result["ppl"]), words, words - sum(len(sentence.split()) for sentence in inside))
