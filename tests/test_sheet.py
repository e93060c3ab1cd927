from dataclasses import replace

from planted_errors import plant

from speechbench.diagnostics import ScoredSet
from speechbench.diagnostics.sheet import COLUMNS, Known, show_alignment, suggest_tags, write_sheet
from speechbench.diagnostics.sheet_cells import read_table
from speechbench.diagnostics.sheet_ear import Ear
from speechbench.manifest import Manifest
from speechbench.recognizer import Hypothesis, Timed


def test_an_alignment_in_one_line():
    pairs = [("turn", "turn"), ("it", None), ("off", "of"), (None, "the")]
    assert show_alignment(pairs) == "turn (it->) (off->of) (->the)"


def test_the_sheet_holds_each_wrong_utterance_of_ear_once(tmp_path):
    scored = plant("dev", 0.1, utterances=200, noise=True)
    ear = Ear.draw(scored, 30, 0).look(scored, "x")
    write_sheet(tmp_path / "sheet.csv", scored, ear, Known())
    columns, rows = read_table(tmp_path / "sheet.csv", COLUMNS)
    assert tuple(columns) == COLUMNS and len(rows) == 30
    counts, by_id = scored.score.counts, scored.manifest.by_id
    for row in rows:
        assert int(row["errors"]) == counts[row["id"]].errors > 0
        assert row["reference"] == by_id[row["id"]].text and row["speaker"] == by_id[row["id"]].speaker
        assert row["tags"] == row["comment"] == ""
        assert "SNR" in row["suggested"] and "noise " in row["suggested"]


def test_tags_follow_from_what_is_known():
    scored = plant("dev", 0.1, utterances=40)
    utterances = list(scored.manifest)
    utterances[3] = replace(utterances[3], duration=30.0)
    utterances[5] = replace(utterances[5], duration=0.05)
    utterances[7] = replace(utterances[7], text="a zebra")
    scored = ScoredSet(Manifest(tuple(utterances)), scored.hypotheses)
    texts = [u.text for u in utterances if u.id != utterances[7].id] * 3
    tags = suggest_tags(scored, Known.of([*texts, "zebra"], ["a", "b"]))
    assert "long" in tags[utterances[3].id] and "fast speech" in tags[utterances[5].id]
    assert "fast speech" not in tags[utterances[3].id]
    assert [key for key, names in tags.items() if "rare word" in names] == [utterances[7].id]
    assert "OOV word" in tags[utterances[7].id]
    bare = suggest_tags(scored, Known())
    assert not any("word" in name for names in bare.values() for name in names)


def test_pace_is_measured_over_the_words_where_their_times_are_known():
    scored = plant("dev", 0.0, utterances=40)
    hurried = scored.manifest.utterances[9].id
    timed = {
        key: Hypothesis(key, h.text, words=(Timed("x", 0.5, 0.6 if key == hurried else 1.5),))
        for key, h in scored.hypotheses.items()
    }
    tags = suggest_tags(ScoredSet(scored.manifest, timed), Known())
    assert "fast speech" in tags[hurried]
