"""Grammars against their definition: every sentence listed with its probability, or drawn."""

import csv
import itertools
import math
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from speechbench import grammar as grammars
from speechbench import unfolding
from speechbench.errors import SpeechbenchError
from speechbench.grammar import measure_grammar, read_grammar


def read(folder, text):
    (folder / "grammar.txt").write_text(text)
    return read_grammar(folder / "grammar.txt")


def jsgf(folder, body):
    return read(folder, f"#JSGF V1.0;\ngrammar test;\n{body}\n")


def probability(grammar, text):
    return 10.0 ** grammar.log10(text.split())


def test_a_list_is_its_lines(tmp_path):
    grammar = read(tmp_path, "turn on\n\nturn off\n  turn   on \nstop\n")
    said = {text: probability(grammar, text) for text in ("turn on", "turn off", "stop")}
    assert said == pytest.approx({"turn on": 1 / 2, "turn off": 1 / 4, "stop": 1 / 4})
    assert all(grammar.log10(text.split()) == -math.inf for text in ("turn", "", "turn on off", "go"))
    assert grammar.words == ["off", "on", "stop", "turn"]


@given(st.lists(st.lists(st.sampled_from("abc"), min_size=1, max_size=4).map(" ".join), min_size=1, max_size=12))
@settings(max_examples=50, deadline=None)
def test_lists_are_counted(tmp_path_factory, lines):
    grammar = read(tmp_path_factory.mktemp("list"), "\n".join(lines))
    for text, count in Counter(lines).items():
        assert probability(grammar, text) == pytest.approx(count / len(lines))
    assert_sums_to_1(grammar)


def assert_sums_to_1(grammar):
    for state, steps in enumerate(grammar.steps):
        assert sum(step.probability for step in steps.values()) + grammar.ends.get(state, 0.0) == pytest.approx(1)


def test_jsgf_by_hand(tmp_path):
    grammar = jsgf(
        tmp_path,
        """
        // a comment; with = signs
        public <command> = [please] <verb> (the | "a very big") <thing>+ {tag; with \\} all} | stop /* not
        this */ ;
        <verb> = /3/ open | /1.0/ close;
        <thing> = door | window;
        """,
    )
    assert grammar.words == ["a", "big", "close", "door", "open", "please", "stop", "the", "very", "window"]
    assert probability(grammar, "stop") == pytest.approx(1 / 2)
    assert probability(grammar, "open the door") == pytest.approx(1 / 2 * 1 / 2 * 3 / 4 * 1 / 2 * 1 / 2 * 1 / 2)
    again = 1 / 2 * 1 / 2 * 1 / 4 * 1 / 2 * (1 / 2) ** 2 * 1 / 2 * 1 / 2  # two things, and then no third
    assert probability(grammar, "please close a very big window door") == pytest.approx(again)
    for text in ("open door", "open the", "please stop", "please", "not this", ""):
        assert grammar.log10(text.split()) == -math.inf, text


def test_several_public_rules_share_the_probability(tmp_path):
    grammar = jsgf(tmp_path, "public <one> = a; public <two> = b | <NULL>; <unused> = c;")
    assert [probability(grammar, text) for text in ("a", "b", "")] == pytest.approx([0.5, 0.25, 0.25])
    assert grammar.words == ["a", "b"]


PARTS = st.recursive(
    st.sampled_from(["a", "b", "<NULL>"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: f"({two[0]} {two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"({two[0]} | {two[1]})"),
        st.tuples(inner, inner).map(lambda two: f"(/3/ {two[0]} | /1/ {two[1]})"),
        inner.map(lambda one: f"[{one}]"),
    ),
    max_leaves=8,
)


def listed(part):
    """All sentences of a part without repetitions, with their probabilities: another reading of it, that writes all out."""
    return _alternatives(re.findall(r"<NULL>|/\d/|[ab()|\[\]]", part))


def _alternatives(tokens):
    weights, parts = [], []
    while not parts or (tokens and tokens[0] == "|"):
        if parts:
            tokens.pop(0)
        weights.append(float(tokens.pop(0).strip("/")) if tokens[0].startswith("/") else 1.0)
        said = {(): 1.0}
        while tokens and tokens[0] not in "|)]":
            token = tokens.pop(0)
            if token in "([":
                inner = _alternatives(tokens)
                tokens.pop(0)
                if token == "[":
                    inner = _mixed([0.5, 0.5], [inner, {(): 1.0}])
            else:
                inner = {() if token == "<NULL>" else (token,): 1.0}
            joined = Counter()
            for (first, p), (second, q) in itertools.product(said.items(), inner.items()):
                joined[first + second] += p * q
            said = joined
        parts.append(said)
    return _mixed([weight / sum(weights) for weight in weights], parts)


def _mixed(shares, parts):
    mixed = Counter()
    for share, part in zip(shares, parts, strict=True):
        for sentence, p in part.items():
            mixed[sentence] += share * p
    return mixed


@given(PARTS)
@settings(max_examples=150, deadline=None)
def test_sentences_have_the_probabilities_of_their_definition(tmp_path_factory, part):
    grammar = jsgf(tmp_path_factory.mktemp("jsgf"), f"public <said> = /1/ {part} | /1/ c;")
    expected = _mixed([0.5, 0.5], [listed(part), {("c",): 1.0}])
    assert {words: 10.0 ** grammar.log10(words) for words in expected} == pytest.approx(dict(expected), rel=1e-3)
    assert_sums_to_1(grammar)


@given(PARTS, st.sampled_from("*+"))
@settings(max_examples=60, deadline=None)
def test_repetitions_are_geometric_series(tmp_path_factory, part, sign):
    grammar = jsgf(tmp_path_factory.mktemp("jsgf"), f"public <said> = /1/ ({part}){sign} | /1/ c;")
    once = listed(part)
    expected, power = Counter(), {(): 1.0} if sign == "*" else once
    for k in range(40):
        for sentence, p in power.items():
            expected[sentence] += 0.5 * 0.5**k * 0.5 * p
        longer = Counter()
        for (first, p), (second, q) in itertools.product(power.items(), once.items()):
            if len(first) + len(second) <= 3:
                longer[first + second] += p * q
        power = longer
    short = {sentence: p for sentence, p in expected.items() if len(sentence) <= 3}
    assert {words: 10.0 ** grammar.log10(words) for words in short} == pytest.approx(short, rel=0.02, abs=1e-7)
    assert_sums_to_1(grammar)


def test_very_ambiguous_repetitions_end(tmp_path):
    grammar = jsgf(tmp_path, "public <said> = ([a] [b] [c] [a b])+ | (a | a a | a b a)*;")
    assert len(grammar.steps) < 300
    assert_sums_to_1(grammar)
    assert all(grammar.log10(words) > -math.inf for words in itertools.product("abc", repeat=4))


BAD = {
    "header": ("#JSGF V1.0\npublic <a> = b;", r"line 2: expected ';', got <a>"),
    "not closed": ("#JSGF V1.0;\npublic <a> = (b | c;", r"line 2: expected '\)' for the '\(' of line 2, got ';'"),
    "closed too often": ("#JSGF V1.0;\npublic <a> = b];", r"line 2: expected ';' or another part of the rule, got '\]'"),
    "no end": ("#JSGF V1.0;\npublic <a> = b\n", r"line 3: expected ';' .*, got the end of the file"),
    "empty": ("#JSGF V1.0;\npublic <a> = b | ;", r"line 2: expected a word, rule, '\(' or '\[', got ';'"),
    "no definition": ("#JSGF V1.0;\n\nhello", r"line 3: expected 'public' or a rule such as <command>, got 'hello'"),
    "no equals": ("#JSGF V1.0;\npublic <a> b;", r"line 2: expected '=', got 'b'"),
    "twice": ("#JSGF V1.0;\npublic <a> = b;\n<a> = c;", "line 3: rule <a> is defined twice"),
    "import": ("#JSGF V1.0;\nimport <other.*>;", "line 2: imports are not followed"),
    "undefined": ("#JSGF V1.0;\npublic <a> = x\n<thing>;\n<things> = y;", "line 3: unknown rule 'thing'; did you mean things"),
    "recursive": ("#JSGF V1.0;\npublic <a> = b <c>;\n<c> = d [<e>];\n<e> = <c>;", "line 4: .*: <c> -> <e> -> <c>; repeat with"),
    "no public": ("#JSGF V1.0;\n<a> = b;", "has no public rule"),
    "weights": ("#JSGF V1.0;\npublic <a> = /1/ b | c;", "line 2: of alternatives all have a weight or none"),
    "all weights 0": ("#JSGF V1.0;\npublic <a> = /0/ b | /0/ c;", "line 2: .*some weight is above 0"),
    "brace": ("#JSGF V1.0;\npublic <a> = b {tag;", "line 2: '{' means nothing here, or what it opens is not closed"),
    "weight that is no number": ("#JSGF V1.0;\npublic <a> = /x/ b;", "line 2: '/' means nothing here"),
    "nothing": ("#JSGF V1.0;\npublic <a> = <NULL>;", "no word can be said"),
    "empty file": ("", "no word can be said"),
    "reserved": ("hello <s>\n", "holds reserved words: <s>"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_are_refused_with_line_and_expectation(tmp_path, name):
    text, message = BAD[name]
    with pytest.raises(SpeechbenchError, match=f"grammar.txt: {message}") as caught:
        read(tmp_path, text)
    assert "\n" not in str(caught.value)


def test_a_rule_used_twice_is_no_circle(tmp_path):
    assert jsgf(tmp_path, "public <a> = <b> <b> | <b>; <b> = x;").words == ["x"]


def test_grammars_that_grow_without_bounds_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unfolding, "MOST_PLACES", 5000)
    monkeypatch.setattr(grammars, "MOST_STATES", 5000)
    nested = "".join(f"<r{n}> = <r{n + 1}> <r{n + 1}> <r{n + 1}>;\n" for n in range(20)) + "<r20> = a;"
    with pytest.raises(SpeechbenchError, match="unfolds to more than 5,000 places"):
        jsgf(tmp_path, f"public <a> = <r0>;\n{nested}")
    with pytest.raises(SpeechbenchError, match="unfolds to more than 5,000 states"):  # it must remember the last 20 words
        jsgf(tmp_path, "public <a> = (a | b)* a " + "(a | b) " * 20 + ";")


def test_measure(tmp_path):
    (tmp_path / "grammar.txt").write_text("a b\nc\n")
    seen = measure_grammar(tmp_path / "grammar.txt", ["a b", "a", "c zebra", ""])
    assert (seen.words, seen.oov, seen.impossible) == (5, 1, 3)
    assert seen.perplexity == pytest.approx(2 ** (1 / 3))
    assert measure_grammar(tmp_path / "grammar.txt", ["zebra"]).perplexity is None


def test_a_grammar_of_real_commands(tmp_path, shared_data):
    """A coffee maker's grammar, rewritten from its own notation, against what people said to it."""
    source = (shared_data / "picovoice_intent" / "grammar_coffee_maker.yaml").read_text()
    orders, slots = source.split("slots:")
    ways = " | ".join(re.findall(r'- "(.*)"', orders)).replace(",", " |").replace("[", "(").replace("]", ")")
    rules = ["public <order> = " + re.sub(r"\$(\w+):\w+", r"<\1>", ways) + ";"]
    for name, options in re.findall(r"^    (\w+):\n((?:      - .*\n?)+)", slots, re.MULTILINE):
        rules.append(f"<{name}> = " + " | ".join(re.findall(r'- "(.*)"', options)) + ";")
    grammar = jsgf(tmp_path, "\n".join(rules).replace(" I ", " i ").replace("I'd", "i'd").replace("I want", "i want"))
    with (shared_data / "picovoice_intent" / "transcripts.tsv").open() as stream:
        texts = [row["text"] for row in csv.DictReader(stream, delimiter="\t")]
    inside = sum(grammar.log10(text.split()) > -math.inf for text in texts)
    assert inside >= 0.5 * len(texts), (inside, len(texts))
