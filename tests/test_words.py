"""The files of the word side, made for either mode without training."""

from functools import partial

import pytest
from planted_scores import ctc_columns, plant

from pipelines.graph import Topology
from pipelines.words import LanguageModelConfig, open_graph, open_lexicon, prepare_words, report_language_model
from speechbench.errors import SpeechbenchError
from speechbench.lexicon import pronounce, spell
from speechbench.manifest import Manifest, Utterance
from speechbench.run import Run

TEXTS = ["turn left", "turn right", "go on"]


def dev(folder, *texts):
    return Manifest(tuple(Utterance(str(n), folder / f"{n}.wav", 1.0, text=text) for n, text in enumerate(texts)))


def row(run, stage):
    (found,) = [row for row in run.metrics() if row["stage"] == stage]
    return found


def test_end_to_end_takes_a_grammar_too(tmp_path):
    (tmp_path / "words.jsgf").write_text("#JSGF V1.0;\npublic <way> = turn (left | right) | go on*;\n")
    run = Run(tmp_path)
    lexicon = prepare_words(run, LanguageModelConfig(grammar=tmp_path / "words.jsgf"), TEXTS, spell)
    assert open_lexicon(run.path) == lexicon == spell(["turn", "left", "right", "go", "on"])
    topology = Topology((" ", *sorted({c for word in lexicon for c in word})), " ", 0)
    graph = open_graph(run.path, topology, lexicon)
    for said in ("turn left", "go on on", "go"):
        columns = ctc_columns(topology, list(said))
        assert graph.decode(60 * plant(columns, topology.columns), beam=2000.0).words == said.split()
    against = graph.decode(plant(ctc_columns(topology, list("left turn")), topology.columns), beam=1000.0)
    assert against is not None and against.words != ["left", "turn"]


def test_nothing_to_report_is_not_reported(tmp_path, capsys):
    run = Run(tmp_path)
    prepare_words(run, LanguageModelConfig(), TEXTS, pronounce, lambda words: pronounce(words))
    report_language_model(run, dev(tmp_path, "turn right", "go left"))
    assert row(run, "lexicon") == {
        "stage": "lexicon",
        "words": 5,
        "guessed": [],
        "unpronounceable": [],
        "unknown_units": [],
        "outside_language_model": [],
    }
    assert "warning" not in capsys.readouterr().err
    assert not (tmp_path / "guessed_lexicon.txt").exists()


def test_phonemes_without_examples_are_not_listened_for(tmp_path, capsys):
    """Of a phoneme that no text has an acoustic model knows nothing: it heard "the boy" in everything."""
    (tmp_path / "list.txt").write_text("turn left\nthe boy\ntomato\nturn it\n")
    (tmp_path / "own.txt").write_text("tomato T OW M AA T OW\ntomato T ER T\n")
    run, config = Run(tmp_path), LanguageModelConfig(grammar=tmp_path / "list.txt")
    find = partial(pronounce, lexicon_file=tmp_path / "own.txt")
    lexicon = prepare_words(run, config, TEXTS, find, only_units_of_texts=True)
    assert lexicon.keys() == {"turn", "left", "right", "go", "on", "tomato"}
    assert lexicon["tomato"] == (("T", "ER", "T"),)
    assert row(run, "lexicon")["unknown_units"] == ["boy", "it", "the"]
    assert "3 words of the language model have phonemes that no training text has and are never heard: boy, it, the" in (
        capsys.readouterr().err
    )
    assert prepare_words(run, config, TEXTS, find)["boy"] == (("B", "OY"),)


def test_a_model_with_nothing_of_dev(tmp_path, capsys):
    run = Run(tmp_path)
    prepare_words(run, LanguageModelConfig(), TEXTS, pronounce)
    report_language_model(run, dev(tmp_path, "stop", "stop please"))
    assert row(run, "language_model")["dev_oov"] == row(run, "language_model")["dev_words"] == 3
    assert "is in the language model: nothing of it can be heard right" in capsys.readouterr().err


def test_a_grammar_against_all_of_dev(tmp_path, capsys):
    (tmp_path / "list.txt").write_text("turn left\ngo on\n")
    run = Run(tmp_path)
    prepare_words(run, LanguageModelConfig(grammar=tmp_path / "list.txt"), TEXTS, pronounce)
    report_language_model(run, dev(tmp_path, "left turn", "on"))
    logged = row(run, "language_model")
    assert (logged["dev_impossible"], logged["dev_oov"], logged["dev_perplexity"]) == (2, 0, None)
    errors = capsys.readouterr().err
    assert "perplexity of dev unknown, 0 of 3 words outside it, 2 of 2 sentences against the grammar" in errors
    assert "warning: the grammar allows no sentence of" in errors


def test_bad_grammars_name_the_users_file(tmp_path):
    (tmp_path / "mine.jsgf").write_text("#JSGF V1.0;\npublic <a> = turn <where>;\n")
    prepare = partial(prepare_words, Run(tmp_path), texts=TEXTS, find=pronounce)
    with pytest.raises(SpeechbenchError, match=r"mine\.jsgf: line 2: unknown rule 'where'"):
        prepare(LanguageModelConfig(grammar=tmp_path / "mine.jsgf"))
