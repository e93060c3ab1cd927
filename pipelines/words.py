"""The word side of a recogniser, the same for both modes: lexicon, and n-gram or grammar, kept in the run folder."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from speechbench import voices
from speechbench.config import check_bounds
from speechbench.errors import SpeechbenchError, name_some
from speechbench.files import read_text, write_text
from speechbench.grammar import measure_grammar, read_grammar
from speechbench.language_model import measure, read_arpa, train_ngram
from speechbench.lexicon import Lexicon, Pronunciation, read_lexicon, write_lexicon
from speechbench.manifest import Manifest
from speechbench.progress import say
from speechbench.run import Run

if TYPE_CHECKING:
    from pipelines.graph import Graph, Topology

ARPA, GRAMMAR = "language_model.arpa", "grammar.txt"  # one of them
LEXICON, GUESSED = "lexicon.txt", "guessed_lexicon.txt"


@dataclass(frozen=True)
class LanguageModelConfig:
    """Which word sequences are likely, or can be said at all: an n-gram of the training texts, or one of the three files."""

    order: int = 3  # of the n-gram
    text: Path | None = None  # sentences, one a line, to estimate the n-gram from
    arpa: Path | None = None  # a ready n-gram, which is then used as it is
    grammar: Path | None = None  # the only sentences that can be heard: one a line, or JSGF

    def __post_init__(self) -> None:
        check_bounds(self, order=(1, 9))
        given = [name for name in ("text", "arpa", "grammar") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both given; expected one")


def prepare_words(
    run: Run,
    config: LanguageModelConfig,
    texts: Sequence[str],
    find: Callable[[list[str]], Lexicon],
    guess: Callable[[list[str]], Lexicon] | None = None,
    only_units_of_texts: bool = False,
) -> Lexicon:
    """Write the language model or grammar and the lexicon into a run folder, and say what of them will not be heard.

    Args:
        run: The run.
        config: Where the language model comes from.
        texts: Of the training manifest.
        find: Gives the pronunciations or spellings of the words that it knows.
        guess: Gives the pronunciations of others, which are then named.
        only_units_of_texts: Leave out pronunciations with units that are in no text, for an acoustic model that knows nothing
            of a unit without examples: such a unit would fit any sound as well or badly as another.

    Returns:
        The lexicon of the texts' words and of those words of the language model that can be pronounced.

    Raises:
        SpeechbenchError: A file of the config is missing or not what it should be; a word of the texts has no pronunciation.
    """
    said, heard = {word for text in texts for word in text.split()}, set(_write_model(run.path, config, texts))
    words = sorted(said | heard)
    found = dict(find(words))
    guessed = dict(guess([word for word in words if word not in found])) if guess else {}
    lexicon = dict(sorted((found | guessed).items()))
    bare = [word for word in words if word not in lexicon]
    if needed := sorted(said.intersection(bare)):
        raise SpeechbenchError(
            f"{len(needed)} words are in no lexicon: {name_some(needed, 10)}; "
            "write 'word PH PH ...' lines (ARPAbet) into a file and add --set lexicon=FILE"
            + ("" if voices.installed() else f", or {voices.INSTALL} to have them guessed")
        )
    pronounced = list(lexicon)
    if only_units_of_texts:
        lexicon = _with_units_of(said, lexicon)
    write_lexicon(run.path / LEXICON, lexicon)
    if guessed:
        write_lexicon(run.path / GUESSED, guessed)
        shown = name_some(guessed, 10)
        say(f"{len(guessed)} pronunciations are guessed: {shown}; correct {GUESSED} and add --set lexicon=FILE")
    unheard = {
        "unpronounceable": (bare, "words of the language model have no pronunciation"),
        "unknown_units": (
            [word for word in pronounced if word not in lexicon],
            "words of the language model have phonemes that no training text has",
        ),
        "outside_language_model": (sorted(said - heard), "words of the training texts are not in the language model"),
    }
    for names, reason in unheard.values():
        if names:
            say(f"warning: {len(names)} {reason} and are never heard: {name_some(names, 10)}")
    lost = {key: names for key, (names, _) in unheard.items()}
    run.log(stage="lexicon", words=len(lexicon), guessed=list(guessed), **lost)
    return lexicon


def _with_units_of(words: Collection[str], lexicon: Lexicon) -> dict[str, tuple[Pronunciation, ...]]:
    """The part of a lexicon that needs no other units than some words of it."""
    units = {unit for word in words for pronunciation in lexicon[word] for unit in pronunciation}
    fitting = {word: tuple(p for p in variants if units.issuperset(p)) for word, variants in lexicon.items()}
    return {word: variants for word, variants in fitting.items() if variants}


def _write_model(folder: Path, config: LanguageModelConfig, texts: Sequence[str]) -> list[str]:
    """Write the language model or grammar; returns its words."""
    if config.grammar is not None:
        words = read_grammar(config.grammar).words  # errors name the user's file
        write_text(folder / GRAMMAR, read_text(config.grammar))
        return words
    if config.arpa is not None:
        words = read_arpa(config.arpa).words
        write_text(folder / ARPA, read_text(config.arpa))
        return words
    train_ngram(read_text(config.text).splitlines() if config.text else texts, folder / ARPA, config.order)
    return read_arpa(folder / ARPA).words


def report_language_model(run: Run, dev: Manifest) -> None:
    """Log how well the language model or grammar expects the texts of dev; words outside it can never be heard."""
    path = _model_path(run.path)
    seen = (measure_grammar if path.name == GRAMMAR else measure)(path, [utterance.text or "" for utterance in dev])
    perplexity = None if seen.perplexity is None else round(seen.perplexity, 3)
    counts = {"dev_words": seen.words, "dev_oov": seen.oov, "dev_impossible": seen.impossible}
    run.log(stage="language_model", dev_perplexity=perplexity, **counts)
    shown = "unknown" if perplexity is None else f"{perplexity:.1f}"
    against = f", {seen.impossible} of {len(dev)} sentences against the grammar" if path.name == GRAMMAR else ""
    say(f"language model: perplexity of dev {shown}, {seen.oov} of {seen.words} words outside it{against}")
    if seen.words and seen.oov == seen.words:
        say(f"warning: no word of {dev.name} is in the language model: nothing of it can be heard right")
    elif seen.impossible == len(dev):
        say(f"warning: the grammar allows no sentence of {dev.name}: none of it can be heard right")


def open_graph(folder: Path, topology: Topology, lexicon: Lexicon) -> Graph:
    """The decoding graph of a run folder."""
    from pipelines.graph import Graph  # here, for a machine without its packages can train

    return Graph.build(topology, lexicon, _model_path(folder))


def _model_path(folder: Path) -> Path:
    return folder / (GRAMMAR if (folder / GRAMMAR).exists() else ARPA)


def open_lexicon(folder: Path) -> Lexicon:
    """The lexicon of a run folder, as it was written."""
    return read_lexicon(folder / LEXICON)
