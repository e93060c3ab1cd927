import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from speechbench import config
from speechbench.errors import SpeechbenchError


@dataclass(frozen=True)
class Inner:
    rate: float = 0.1
    size: int = 4

    def __post_init__(self) -> None:
        config.check_bounds(self, size=(1, 8), rate=(0, 1))


@dataclass(frozen=True)
class Outer:
    name: str = "a"
    kind: Literal["fast", "slow"] = "fast"
    place: Path | None = None
    flag: bool = False
    span: tuple[float, float] = (0.0, 1.0)
    sizes: tuple[int, ...] = ()
    weights: dict[str, float] = field(default_factory=dict)
    most: int | None = None
    inner: Inner = field(default_factory=Inner)


@pytest.fixture
def toml(tmp_path):
    """Write a TOML file."""

    def write(text):
        path = tmp_path / "own.toml"
        path.write_text(text)
        return path

    return write


def test_defaults_file_and_settings_in_this_order(toml):
    assert config.load(Outer) == Outer()
    path = toml('name = "b"\nflag = true\n[inner]\nsize = 5\nrate = 0.5\n')
    assert config.load(Outer, path) == Outer("b", flag=True, inner=Inner(0.5, 5))
    assert config.load(Outer, path, ["inner.size=6", "name=c"]) == Outer("c", flag=True, inner=Inner(0.5, 6))


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("name=two words", {"name": "two words"}),
        ('name="quoted"', {"name": "quoted"}),
        ("name=", {"name": ""}),
        ("name=a=b", {"name": "a=b"}),
        ("kind=slow", {"kind": "slow"}),
        ("place=data/words.txt", {"place": Path("data/words.txt")}),
        ("flag=true", {"flag": True}),
        ("span=[1, 2.5]", {"span": (1.0, 2.5)}),
        ("sizes=[1, 2, 3]", {"sizes": (1, 2, 3)}),
        ("weights.city=2", {"weights": {"city": 2.0}}),
        ("most=3", {"most": 3}),
        ("inner.rate=1", {"inner": Inner(rate=1.0)}),
        ("inner.rate=1e-3", {"inner": Inner(rate=0.001)}),
    ],
)
def test_settings_are_toml_or_bare_strings(setting, expected):
    found = config.load(Outer, settings=[setting])
    assert found == Outer(**expected)
    assert [type(getattr(found, key)) for key in expected] == [type(value) for value in expected.values()]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("nam=b", "unknown config key 'nam'; did you mean name"),
        ("inner.siz=4", r"unknown config key 'inner\.siz'; did you mean inner\.size"),
        ("innr.size=4", "unknown config key 'innr'; did you mean inner"),
        ("zzzz=4", "known: flag, inner, kind, most, name, place, sizes, span, weights"),
        ("name", "--set name: expected key=value"),
        ("=3", "expected key=value"),
        ("inner=3", r"'inner' is a table; set a key in it, for example inner\.rate"),
        ("name=3", "'name' is 3; expected str"),
        ("flag=1", "'flag' is 1; expected bool"),
        ("flag=yes", "'flag' is 'yes'; expected bool"),
        ("inner.size=true", r"'inner\.size' is True; expected int"),
        ("inner.size=4.5", r"'inner\.size' is 4\.5; expected int"),
        ("inner.rate=true", r"'inner\.rate' is True; expected float"),
        ("inner.rate=fast", r"'inner\.rate' is 'fast'; expected float"),
        ("kind=fats", "unknown kind 'fats'; did you mean fast"),
        ("place=3", "'place' is 3; expected Path"),
        ("span=[1]", "'span' takes 2 values, got 1"),
        ("span=1", "'span' is 1; expected tuple"),
        ("sizes=[1, 2.5]", "'sizes' is 2.5; expected int"),
        ("weights.city=much", r"'weights\.city' is 'much'; expected float"),
        ("most=none", "'most' is 'none'; expected int"),
        ("inner.size=9", r"\[inner\] 'size' is 9; expected 1 to 8"),
        ("inner.rate=nan", r"\[inner\] 'rate' is nan; expected 0 to 1"),
    ],
)
def test_mistakes_are_answered_with_what_was_expected(setting, message):
    with pytest.raises(SpeechbenchError, match=message):
        config.load(Outer, settings=[setting])


def test_a_value_is_no_table(toml):
    with pytest.raises(SpeechbenchError, match="'name' is a value, not a table"):
        config.load(Outer, toml('name = "b"'), ["name.first=c"])


def test_faults_of_a_file_name_it(toml, tmp_path):
    with pytest.raises(SpeechbenchError, match=r"own.toml: not TOML: .*line 2"):
        config.load(Outer, toml('name = "b"\nkind = = 3\n'))
    with pytest.raises(SpeechbenchError, match=r"own.toml: unknown config key 'inner.sizes'"):
        config.load(Outer, toml("[inner]\nsizes = 3\n"))
    with pytest.raises(SpeechbenchError, match=r"none.toml: no such file"):
        config.load(Outer, tmp_path / "none.toml")


OUTERS: Any = st.builds(
    Outer,
    name=st.text(),
    kind=st.sampled_from(["fast", "slow"]),
    flag=st.booleans(),
    span=st.tuples(st.floats(-1, 1), st.floats(-1, 1)),
    sizes=st.lists(st.integers()).map(tuple),
    weights=st.dictionaries(st.text(), st.floats(0, 1)),
    most=st.none() | st.integers(),
    inner=st.builds(Inner, rate=st.floats(0, 1), size=st.integers(1, 8)),
)


@given(OUTERS)
def test_a_config_is_made_again_from_its_document(outer):
    assert config.build(Outer, json.loads(json.dumps(asdict(outer))), "config.json") == outer


def test_bounds_hold_at_both_ends_and_need_no_upper_one():
    for size in (1, 8):
        assert Inner(size=size).size == size
    with pytest.raises(ValueError, match="'size' is 0; expected 1 to 8"):
        Inner(size=0)

    @dataclass(frozen=True)
    class Open:
        beam: float

    config.check_bounds(Open(1e9), beam=(1, float("inf")))
    for beam in (0.5, float("nan"), float("inf")):
        with pytest.raises(ValueError, match="expected 1 or more"):
            config.check_bounds(Open(beam), beam=(1, float("inf")))


def test_the_files_that_a_config_names_have_to_be_there(tmp_path):
    assert config.files_named(Outer()) == []
    (tmp_path / "words.txt").touch()
    assert config.files_named(Outer(place=tmp_path / "words.txt")) == [tmp_path / "words.txt"]
    with pytest.raises(SpeechbenchError, match=r"gone.txt: no such file; the config key 'place' names it"):
        config.files_named(Outer(place=tmp_path / "gone.txt"))
