"""The JSpeech Grammar Format: rules of words, sequences, alternatives, options and repetitions.

Left out are imports, and recursion, which no finite graph can hold; tags are read over.

Source: JSpeech Grammar Format, W3C Note, 5 June 2000.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, TypeAlias

from speechbench.errors import SpeechbenchError, unknown_name


@dataclass(frozen=True)
class Word:
    """A word."""

    text: str


@dataclass(frozen=True)
class Reference:
    """What another rule stands for."""

    rule: str
    line: int


@dataclass(frozen=True)
class Sequence:
    """One part after the other; without parts, nothing."""

    parts: tuple[Expansion, ...]


@dataclass(frozen=True)
class Choice:
    """One of several, with probabilities that sum to 1."""

    options: tuple[tuple[float, Expansion], ...]


@dataclass(frozen=True)
class Repeat:
    """Any number of times, or once and any number of times more."""

    part: Expansion
    at_least_once: bool


Expansion: TypeAlias = Word | Reference | Sequence | Choice | Repeat
NOTHING = Sequence(())


@dataclass(frozen=True)
class Rules:
    """A grammar: its rules, and those of them that stand for whole sentences."""

    rules: Mapping[str, Expansion]
    public: tuple[str, ...]


TOKEN = re.compile(
    r"""(?P<skip> \s+ | //[^\n]* | /\*.*?\*/ | \{(?:\\.|[^\\}])*\} )  # comments and tags mean no words
      | /\s*(?P<weight> \d+\.?\d*(?:[eE][+-]?\d+)? | \.\d+ )\s*/
      | <(?P<rule> [^<>\s]+ )>
      | "(?P<quoted> [^"\n]* )"
      | (?P<sign> [;=|*+()\[\]] )
      | (?P<word> [^\s;=|*+()\[\]<>{}/"]+ )""",
    re.VERBOSE | re.DOTALL,
)


class Token(NamedTuple):
    """A piece of the file; "end" stands behind the last one."""

    kind: str  # weight, rule, sign, word or end
    text: str
    line: int

    def __str__(self) -> str:
        form = {"end": "the end of the file", "rule": f"<{self.text}>", "weight": f"/{self.text}/"}
        return form.get(self.kind, f"'{self.text}'")


def parse(path: Path, text: str) -> Rules:
    """Read a grammar; `path` is for messages.

    Raises:
        SpeechbenchError: Says the line and what was expected there, or which rule is missing or refers to itself.
    """
    parser = _Parser(path, list(_tokens(path, text)))
    parser.read()
    grammar = Rules(parser.rules, tuple(parser.public))
    if not grammar.public:
        raise SpeechbenchError(f"{path}: has no public rule; write 'public' before the rule that stands for a sentence")
    for name in grammar.public:
        _follow(path, grammar.rules, grammar.rules[name], (name,), set())
    return grammar


def _tokens(path: Path, text: str) -> Iterator[Token]:
    at, line = 0, 1
    while at < len(text):
        match = TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise SpeechbenchError(f"{path}: line {line}: '{text[at]}' means nothing here, or what it opens is not closed")
        kind, found = match.lastgroup, match[match.lastgroup]
        if kind == "quoted":
            yield from (Token("word", word, line) for word in found.split())
        elif kind != "skip":
            yield Token(kind, found, line)
        line += text.count("\n", at, match.end())
        at = match.end()
    yield Token("end", "", line)


@dataclass
class _Parser:
    """Recursive descent over the tokens."""

    path: Path
    tokens: list[Token]
    at: int = 0
    rules: dict[str, Expansion] = field(default_factory=dict)
    public: list[str] = field(default_factory=list)

    @property
    def token(self) -> Token:
        return self.tokens[self.at]

    def takes(self, kind: str, *texts: str) -> Token | None:
        """The next token, taken, if it is of a kind and one of the texts."""
        token = self.token
        if token.kind != kind or (texts and token.text not in texts):
            return None
        self.at += 1
        return token

    def expect(self, expected: str, kind: str, *texts: str) -> Token:
        return self.takes(kind, *texts) or self.fail(f"expected {expected}, got {self.token}")

    def fail(self, message: str) -> Token:
        raise SpeechbenchError(f"{self.path}: line {self.token.line}: {message}")

    def read(self) -> None:
        self.expect("the header '#JSGF V1.0;'", "word", "#JSGF")
        while self.takes("word"):  # version, encoding, language
            pass
        self.expect("';'", "sign", ";")
        if self.takes("word", "grammar"):
            self.expect("the grammar's name", "word")
            self.expect("';'", "sign", ";")
        while self.token.kind != "end":
            self.definition()

    def definition(self) -> None:
        if self.token[:2] == ("word", "import"):
            self.fail("imports are not followed; copy the rules into this file")
        public = self.takes("word", "public")
        name = self.expect("'public' or a rule such as <command>", "rule").text
        if name in self.rules:
            self.fail(f"rule <{name}> is defined twice")
        self.expect("'='", "sign", "=")
        self.rules[name] = self.alternatives()
        self.expect("';' or another part of the rule", "sign", ";")
        if public:
            self.public.append(name)

    def alternatives(self) -> Expansion:
        options: list[tuple[float | None, Expansion]] = []
        while not options or self.takes("sign", "|"):
            weight = self.takes("weight")
            options.append((float(weight.text) if weight else None, self.sequence()))
        weights = [weight for weight, _ in options if weight is not None]
        if weights and (len(weights) < len(options) or sum(weights) == 0):
            self.fail("of alternatives all have a weight or none, and some weight is above 0")
        shares = [weight / sum(weights) for weight in weights] or [1 / len(options)] * len(options)
        parts = [part for _, part in options]
        return parts[0] if len(parts) == 1 else Choice(tuple(zip(shares, parts, strict=True)))

    def sequence(self) -> Expansion:
        parts: list[Expansion] = []
        while (part := self.item()) is not None:
            while sign := self.takes("sign", "*", "+"):
                part = Repeat(part, at_least_once=sign.text == "+")
            parts.append(part)
        if not parts:
            self.fail(f"expected a word, rule, '(' or '[', got {self.token}")
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def item(self) -> Expansion | None:
        if word := self.takes("word"):
            return Word(word.text)
        if rule := self.takes("rule"):
            return NOTHING if rule.text == "NULL" else Reference(rule.text, rule.line)
        if opened := self.takes("sign", "(", "["):
            inside = self.alternatives()
            closing = ")" if opened.text == "(" else "]"
            self.expect(f"'{closing}' for the '{opened.text}' of line {opened.line}", "sign", closing)
            return inside if opened.text == "(" else Choice(((0.5, inside), (0.5, NOTHING)))
        return None


def _follow(path: Path, rules: Mapping[str, Expansion], part: Expansion, within: tuple[str, ...], seen: set[str]) -> None:
    """See that all references lead somewhere and none leads back."""
    match part:
        case Reference(name, line):
            if name not in rules:
                raise SpeechbenchError(f"{path}: line {line}: {unknown_name('rule', name, rules)}")
            if name in within:
                circle = " -> ".join(f"<{rule}>" for rule in (*within[within.index(name) :], name))
                raise SpeechbenchError(f"{path}: line {line}: a rule refers to itself: {circle}; repeat with * or + instead")
            if name not in seen:
                _follow(path, rules, rules[name], (*within, name), seen)
                seen.add(name)
        case Sequence(parts):
            for inner in parts:
                _follow(path, rules, inner, within, seen)
        case Choice(options):
            for _, inner in options:
                _follow(path, rules, inner, within, seen)
        case Repeat(inner, _):
            _follow(path, rules, inner, within, seen)
