import subprocess
import sys

from hypothesis import given
from hypothesis import strategies as st

from speechbench.seeds import generator_of, seed_of

NAMES = st.lists(st.text().filter(lambda name: "\x1f" not in name), max_size=3)


@given(st.integers(), NAMES, st.integers(), NAMES)
def test_a_seed_depends_on_all_its_parts_and_their_borders(seed, names, other_seed, other_names):
    same = (seed, names) == (other_seed, other_names)
    assert (seed_of(seed, *names) == seed_of(other_seed, *other_names)) == same
    assert 0 <= seed_of(seed, *names) < 2**63


def test_borders_between_names_count():
    assert len({seed_of(0, "ab", "c"), seed_of(0, "a", "bc"), seed_of(0, "abc"), seed_of(0, "abc", "")}) == 4
    assert seed_of(0, "a", 1) == seed_of(0, "a", "1")


def test_seeds_are_the_same_in_every_process_and_for_ever():
    code = "from speechbench.seeds import seed_of; print(seed_of(0, 'scene', 'u1', 2))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    # printf "0\x1fscene\x1fu1\x1f2" | sha256sum
    assert int(said) == seed_of(0, "scene", "u1", 2) == 0x6219DF7D1413B9DE >> 1


def test_generators_of_different_items_are_different_and_repeat():
    draws = [generator_of(0, "noise", n).random() for n in (1, 2, 1)]
    assert draws[0] == draws[2] != draws[1]
