"""The word side of a recogniser, the same for both modes: n-gram, lexicon and decoding graph, kept in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipelines.graph import Graph, Topology
from speechbench.config import check_bounds
from speechbench.files import read_text, write_text
from speechbench.language_model import measure, read_arpa, train_ngram
from speechbench.lexicon import Lexicon, read_lexicon, write_lexicon
from speechbench.manifest import Manifest
from speechbench.progress import say
from speechbench.run import Run

ARPA, LEXICON = "language_model.arpa", "lexicon.txt"


@dataclass(frozen=True)
class LanguageModelConfig:
    """Which word sequences are likely."""

    order: int = 3  # of the n-gram
    text: Path | None = None  # sentences, one a line; without it, the texts of the training manifest
    arpa: Path | None = None  # a ready n-gram, which is then used as it is

    def __post_init__(self) -> None:
        check_bounds(self, order=(1, 9))


def prepare_words(
    folder: Path, config: LanguageModelConfig, texts: Sequence[str], find: Callable[[list[str]], Lexicon]
) -> Lexicon:
    """Write the language model and lexicon into a run folder.

    Args:
        folder: The run.
        config: Where the language model comes from.
        texts: Of the training manifest.
        find: Gives the pronunciations or spellings of words.

    Returns:
        The lexicon of the language model's words and the texts' words.

    Raises:
        SpeechbenchError: A file of the config is missing or not what it should be; a word that `find` does not know.
    """
    if config.arpa is not None:
        write_text(folder / ARPA, read_text(config.arpa))
    else:
        sentences = read_text(config.text).splitlines() if config.text else texts
        train_ngram(sentences, folder / ARPA, config.order)
    words = set(read_arpa(folder / ARPA).words) | {word for text in texts for word in text.split()}
    lexicon = find(sorted(words))
    write_lexicon(folder / LEXICON, lexicon)
    return lexicon


def report_language_model(run: Run, dev: Manifest) -> None:
    """Log how well the language model expects the texts of dev; words outside it can never be heard."""
    seen = measure(run.path / ARPA, [utterance.text or "" for utterance in dev])
    run.log(stage="language_model", dev_perplexity=round(seen.perplexity, 3), dev_words=seen.words, dev_oov=seen.oov)
    say(f"language model: perplexity of dev {seen.perplexity:.1f}, {seen.oov} of {seen.words} words outside it")


def open_graph(folder: Path, topology: Topology, lexicon: Lexicon) -> Graph:
    """The decoding graph of a run folder."""
    return Graph.build(topology, lexicon, folder / ARPA)


def open_lexicon(folder: Path) -> Lexicon:
    """The lexicon of a run folder, as it was written."""
    return read_lexicon(folder / LEXICON)
