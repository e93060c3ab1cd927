import re
import tomllib
from pathlib import Path

import pytest

from speechbench.errors import SpeechbenchError
from synth import recipe
from synth.recipe import ConditionRanges, EventRanges
from synth.spread import Spread


@pytest.fixture
def own(tmp_path):
    """Load a recipe that is written down here."""

    def load(text, settings=()):
        path = tmp_path / "own.toml"
        path.write_text(text)
        return recipe.load(str(path), settings)

    return load


def test_recipes_by_name_file_and_setting(own):
    assert recipe.load("car").cabin.count == 16
    assert recipe.load("plain", ["snr_db=[3, 4]"]).snr_db == (3.0, 4.0)
    found = own("copies = 2\n[conditions.city]\nweight = 2\n[cabin]\ncount = 0\n", ["clip=true"])
    assert (found.copies, found.conditions, found.cabin.count) == (2, {"city": ConditionRanges(2.0)}, 0)
    assert found.clip
    with pytest.raises(SpeechbenchError, match=r"unknown recipe.*did you mean car"):
        recipe.load("carr")
    with pytest.raises(SpeechbenchError, match="did you mean snr_db"):
        recipe.load("car", ["snr=[20, -5]"])


@pytest.mark.parametrize("name", recipe.names())
def test_built_in_recipes_load_and_say_what_they_are(name):
    found = recipe.load(name)
    text = (recipe.BUILT_IN / f"{name}.toml").read_text()
    assert text.startswith("# ")
    assert tomllib.loads(text).keys() <= {"snr_db", "level_dbfs", "conditions", "events", "cabin", "keep_clean"}
    assert (name in ("car", "plain")) == (not found.conditions and not found.events)  # these go with any noise


def test_an_snr_is_a_range_a_normal_distribution_or_a_list(own):
    assert own("snr_db = [-5, 20]").snr_db == (-5.0, 20.0)
    assert own("snr_db = {mean = 8, sd = 5, low = -5}").snr_db == Spread(mean=8.0, sd=5.0, low=-5.0)
    assert own("[snr_db]\nvalues = [0, 5, 10]").snr_db == Spread(values=(0.0, 5.0, 10.0))
    assert own("snr_db = [-5, 20]", ["snr_db={values=[3]}"]).snr_db == Spread(values=(3.0,))


def test_conditions_may_have_snrs_of_their_own(own):
    found = own("snr_db = [1, 2]\n[conditions.city]\n[conditions.rain]\nweight = 2\nsnr_db = {mean = 0, sd = 2}\n")
    assert found.snr_under("city") == found.snr_under(None) == (1.0, 2.0)
    assert found.snr_under("rain") == Spread(mean=0.0, sd=2.0)
    assert found.with_one_snr().snr_under("rain") == (1.0, 2.0)
    assert found.with_one_snr().conditions["rain"].weight == 2.0


def test_events_have_a_probability_an_snr_and_their_conditions(own):
    found = own("[conditions.rain]\n[events.wiper]\nprobability = 0.8\nsnr_db = [5, 9]\nconditions = ['rain']\n")
    assert found.events == {"wiper": EventRanges(0.8, (5.0, 9.0), ("rain",))}
    assert own("[events.horn]\n", ["events={}"]).events == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("snr_db = [20, -5]", "'snr_db' is 20 to -5; expected the lower value first"),
        ("snr_db = 5", "'snr_db' is 5; expected tuple"),
        ("snr_db = {mean = 5}", r"\[snr_db\] takes 'values', or 'mean' with an 'sd'"),
        ("snr_db = {men = 5}", "did you mean snr_db.mean"),
        ("snr_db = [-99, 0]", "'snr_db' lies between -90 and 90 dB"),
        ("snr_db = [0, 60]", r"16 bits cannot hold noise of -95 dBFS; go up to 49 dB, or raise 'level_dbfs'"),
        ("snr_db = {values = [0, 60]}", "16 bits cannot hold"),
        ("[conditions.rain]\nsnr_db = [0, 60]", r"'conditions\.rain\.snr_db' reaches 60 dB"),
        ("[events.horn]\nsnr_db = [0, 60]", r"'events\.horn\.snr_db' reaches 60 dB"),
        ("level_dbfs = [-30, -5]", "above -10 dBFS speech clips"),
        ("[conditions]\nrain = 2", r"'conditions\.rain' is a table; set a key in it, for example conditions\.rain\.weight"),
        ("[conditions.rain]\nweight = 0", "all have the weight 0"),
        ("[conditions.rain]\nweight = -1", "'weight' is -1; expected 0 or more"),
        ("[events.horn]\nprobability = 2", "'probability' is 2; expected 0 to 1"),
        ("[events.horn]\nconditions = ['city']", r"'events\.horn\.conditions' names 'city', which is not in \[conditions\]"),
        ("lombard = 1", "'lombard' is 1; expected 0 to 0.8"),
        ("copies = 0", "'copies' is 0; expected 1 or more"),
        ("noise = 1.5", "'noise' is 1.5; expected 0 to 1"),
        ("[cabin]\nrt60 = [0.1, 0.05]", r"\[cabin\] 'rt60' is 0.1 to 0.05; expected the lower value first"),
        ("[cabin]\nrt60 = [0.03, 0.05]", r"the largest cabin cannot decay in under 0\.048 s"),
        ("[cabin]\nlength = [1, 2]", "at least 1.8 m long"),
        ("[cabin]\nleather = 2", "'leather' is 2; expected 0 to 1"),
    ],
)
def test_mistakes_are_answered_with_what_was_expected(own, text, message):
    with pytest.raises(SpeechbenchError, match=message):
        own(text)


def test_the_recipes_in_the_documents_are_recipes(own):
    blocks = re.findall(r"```toml\n(.*?)```", (Path(__file__).parents[1] / "docs" / "synthesis.md").read_text(), re.DOTALL)
    found = [own(block) for block in blocks]
    assert len(found) == 2 and found[0].cabin.rirs == "my-rirs" and found[1].events["wiper"].conditions == ("rain",)
