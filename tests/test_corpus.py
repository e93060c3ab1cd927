import json

import numpy as np
import pytest
import soundfile

from speechbench import cards, corpus, manifest
from speechbench.errors import SpeechbenchError

RATE = 16_000


def record(path, seconds=0.5, seed=0, **options):
    """A file of quiet noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).normal(0, 0.05, round(seconds * RATE))
    soundfile.write(path, samples, RATE, **options)
    return path


def read(name, root):
    return corpus.read(cards.load(name), root)


def facts(reading):
    return {u.id: (u.text, u.speaker, u.split) for u in reading.manifest}


def own_card(folder, text):
    path = folder / "own.toml"
    path.write_text(text)
    return cards.load(str(path))


def test_all_cards_are_whole():
    assert len(cards.names()) >= 25
    for card in map(cards.load, cards.names()):
        assert card.description and card.licence and card.source, card.name
        assert card.kind == "noise" or card.language or card.name == "common_voice"


def test_librispeech(tmp_path):
    chapter = tmp_path / "dev-clean/84/121123"
    for name in ("84-121123-0000", "84-121123-0001"):
        record(chapter / f"{name}.flac")
    (chapter / "84-121123.trans.txt").write_text(
        "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS THAN FIVE MINUTES\n"
    )
    record(tmp_path / "unknown-part/1/2/1-2-0000.flac")
    (tmp_path / "unknown-part/1/2/1-2.trans.txt").write_text("1-2-0000 LEFT OUT\n")
    assert facts(read("librispeech", tmp_path)) == {
        "84-121123-0000": ("go do you hear", "84", "dev-clean"),
        "84-121123-0001": ("but in less than five minutes", "84", "dev-clean"),
    }


def test_mini_librispeech_reads_only_its_parts_of_a_shared_folder(tmp_path):
    for subset in ("train-clean-5", "train-clean-100"):
        record(tmp_path / subset / "1/2/1-2-0000.flac")
        (tmp_path / subset / "1/2/1-2.trans.txt").write_text("1-2-0000 HELLO\n")
    assert [u.split for u in read("mini_librispeech", tmp_path).manifest] == ["train-clean-5"]


def test_common_voice(tmp_path):
    header = "client_id\tpath\tsentence\tup_votes\tlocale\n"
    for split, row in {
        "train": 'abc\tcommon_voice_en_1.mp3\t"Don’t," she said.\t2\ten\n',
        "test": "def\tcommon_voice_en_2.mp3\tHi there!\t2\ten\n",
    }.items():
        (tmp_path / f"{split}.tsv").write_text(header + row)
    for number in (1, 2):
        record(tmp_path / f"clips/common_voice_en_{number}.mp3")
    assert facts(read("common_voice", tmp_path)) == {
        "common_voice_en_1": ("don't she said", "abc", "train"),
        "common_voice_en_2": ("hi there", "def", "test"),
    }


@pytest.mark.parametrize("upper", [True, False])
def test_timit(tmp_path, upper):
    def name(text):
        return text.upper() if upper else text.lower()

    folder = tmp_path / name("train/dr1/fcjf0")
    for sentence in ("si1027", "sa1"):
        record(folder / name(f"{sentence}.wav"), 1.0, format="WAV")
        (folder / name(f"{sentence}.txt")).write_text("0 16000 Even then, if she took one.\n")
        (folder / name(f"{sentence}.wrd")).write_text("3200 4800 even\n4800 8000 then\n")
        (folder / name(f"{sentence}.phn")).write_text("0 3200 h#\n3200 4000 iy\n4000 4800 v\n")
    [utterance] = read("timit", tmp_path).manifest
    assert (utterance.id, utterance.text, utterance.speaker, utterance.split) == (
        "fcjf0-si1027",
        "even then if she took one",
        "fcjf0",
        "train",
    )
    assert utterance.extra["dialect"] == "dr1" and utterance.extra["sex"] == "f"
    assert utterance.extra["alignments"] == {
        "words": [[0.2, 0.3, "even"], [0.3, 0.5, "then"]],
        "phonemes": [[0.2, 0.25, "iy"], [0.25, 0.3, "v"]],
    }


def test_speech_commands(tmp_path):
    for word in ("bed", "cat"):
        for speaker in ("0a1b", "ffee", "0c0c"):
            record(tmp_path / word / f"{speaker}_nohash_0.wav")
    record(tmp_path / "_background_noise_/pink_noise.wav")
    (tmp_path / "validation_list.txt").write_text("bed/ffee_nohash_0.wav\n")
    (tmp_path / "testing_list.txt").write_text("cat/0c0c_nohash_0.wav\n")
    found = facts(read("speech_commands", tmp_path))
    assert len(found) == 6
    assert found["bed-0a1b_nohash_0"] == ("bed", "0a1b", "train")
    assert found["bed-ffee_nohash_0"] == ("bed", "ffee", "dev")
    assert found["cat-0c0c_nohash_0"] == ("cat", "0c0c", "test")


def noise(reading):
    return {u.id: (u.extra["source"], u.extra.get("condition")) for u in reading.manifest}


def test_noise_corpora(tmp_path):
    record(tmp_path / "musan/noise/free-sound/noise-free-sound-0000.wav")
    record(tmp_path / "musan/speech/librivox/speech-librivox-0000.wav")
    assert noise(read("musan_noise", tmp_path / "musan")) == {"noise-free-sound-0000": ("musan-noise-free-sound-0000", None)}
    for channel in ("ch01", "ch02"):
        record(tmp_path / f"demand/TCAR/{channel}.wav")
    assert noise(read("demand", tmp_path / "demand")) == {"ch01": ("demand-TCAR", "TCAR")}
    for part in ("train", "test"):
        record(tmp_path / f"snsd/noise_{part}/Babble_1.wav")
    record(tmp_path / "snsd/clean_train/p1.wav")
    assert noise(read("ms_snsd_noise", tmp_path / "snsd")) == {
        "noise_test-Babble_1": ("ms_snsd-test/Babble_1", "Babble"),
        "noise_train-Babble_1": ("ms_snsd-train/Babble_1", "Babble"),
    }


def test_esc50_takes_of_one_recording_are_one_source(tmp_path):
    rows = ["filename,fold,target,category,esc10,src_file,take"]
    for take in "AB":
        record(tmp_path / f"audio/1-100032-{take}-0.wav")
        rows.append(f"1-100032-{take}-0.wav,1,0,rain,True,100032,{take}")
    (tmp_path / "meta").mkdir()
    (tmp_path / "meta/esc50.csv").write_text("\n".join(rows))
    assert set(noise(read("esc50", tmp_path)).values()) == {("freesound-100032", "rain")}


OWN = """
[layout]
reader = "files"
pattern = '(?P<text>[a-z]+)_(?P<speaker>[a-z]+)\\.wav'
"""


def test_files_that_cannot_be_used_are_named_and_skipped(tmp_path, capsys):
    root = tmp_path / "audio"
    for name in ("a_x", "b_x", "c_x", "d_x", "f_x"):
        record(root / f"{name}.wav")
    (root / "b_x.wav").write_bytes(b"")
    (root / "c_x.wav").write_bytes(b"RIFFnonsense")
    samples = np.zeros(RATE, dtype=np.float32)
    samples[100] = np.nan
    soundfile.write(root / "d_x.wav", samples, RATE, subtype="FLOAT")
    soundfile.write(root / "e_x.wav", np.zeros(0), RATE)
    reading = corpus.read(own_card(tmp_path, OWN), root)
    assert list(facts(reading)) == ["a_x", "f_x"]
    assert sorted(reading.unreadable.reasons) == ["b_x", "c_x", "d_x", "e_x"]
    assert "not finite" in reading.unreadable.reasons["d_x"]
    corpus.write(tmp_path / "out", cards.Card(name="own"), reading)
    listed = [json.loads(line) for line in (tmp_path / "out/skipped.jsonl").read_text().splitlines()]
    assert [line["id"] for line in listed] == ["b_x", "c_x", "d_x", "e_x"]
    assert "skipped b_x" in capsys.readouterr().err


def test_a_flac_file_that_was_cut_off_is_skipped(tmp_path):
    root = tmp_path / "audio"
    text = OWN.replace(".wav", ".flac").replace("\\.flac", "[.]flac")
    record(root / "a_x.flac")
    whole = record(root / "b_x.flac", 4.0).read_bytes()
    (root / "b_x.flac").write_bytes(whole[: len(whole) // 2])
    reading = corpus.read(own_card(tmp_path, text), root)
    assert list(reading.unreadable.reasons) == ["b_x"]


def test_none_left_is_an_error(tmp_path):
    (tmp_path / "a_x.wav").write_bytes(b"")
    with pytest.raises(SpeechbenchError, match="none of the 1 utterances"):
        corpus.read(own_card(tmp_path, OWN), tmp_path)


def test_texts_that_cannot_be_read_are_dropped_and_counted(tmp_path, capsys):
    rows = {"a": "Please, hold!", "b": "press 1", "c": "[beep]", "d": "", "e": "It's  -- fine", "f": "..."}
    (tmp_path / "transcripts.tsv").write_text(
        "file\ttext\tspeaker\n" + "".join(f"{name}.wav\t{text}\tx\n" for name, text in rows.items())
    )
    for name in rows:
        record(tmp_path / f"{name}.wav")
    card = own_card(tmp_path, '[layout]\nreader = "table"\n')
    reading = corpus.read(card, tmp_path)
    assert facts(reading) == {"a": ("please hold", "x", None), "e": ("it's fine", "x", None)}
    assert set(reading.dropped) == {"b", "c", "d", "f"}
    assert "dropped 4 utterances: 2 for signs in the text, 2 for no text" in capsys.readouterr().err
    assert corpus.summary(card, reading)[-1] == {
        "split": "all", "utterances": 2, "hours": 0.0, "speakers": 1, "words": 4, "dropped": 4, "skipped": 0,
    }  # fmt: skip


def test_noise_rules_the_first_match_wins(tmp_path):
    card = own_card(
        tmp_path,
        """
        kind = "noise"
        source_prefix = ""
        [layout]
        reader = "files"
        pattern = '(?P<source>[^/]+)[.]wav'
        rules = [{ match = "^evo", source = "evo" }, { match = "road", condition = "road" }, { condition = "engine" }]
        """,
    )
    for name in ("evo1", "evo2", "road"):
        record(tmp_path / f"{name}.wav")
    expected = {"evo1": ("evo", "engine"), "evo2": ("evo", "engine"), "road": ("road", "road")}
    assert noise(corpus.read(card, tmp_path)) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[layout]\nreader = "tables"', "did you mean table"),
        ('[layout]\nreader = "files"\npatern = "x"', "did you mean pattern"),
        ('[layout]\nreader = "files"\npattern = "("', "no regular expression"),
        ('kind = "music"\n[layout]\nreader = "files"', "unknown kind 'music'"),
        ('[layout]\nreader = "table"\ncolumns = { text = "t" }', "audio_filepath"),
        ("kind = ", "not TOML"),
        ('kind = "noise"', "expected either"),
    ],
)
def test_faults_in_a_card_are_explained(tmp_path, text, message):
    with pytest.raises(SpeechbenchError, match=message):
        own_card(tmp_path, text)


def test_an_unknown_card_answers_with_the_nearest():
    with pytest.raises(SpeechbenchError, match="did you mean librispeech"):
        cards.load("libri_speech")


def test_an_unknown_column_answers_with_the_nearest(tmp_path):
    (tmp_path / "transcripts.tsv").write_text("file\ttexts\tspeaker\na.wav\thi\tx\n")
    with pytest.raises(SpeechbenchError, match="did you mean texts"):
        corpus.read(own_card(tmp_path, '[layout]\nreader = "table"'), tmp_path)


def test_a_corpus_is_found_by_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SPEECHBENCH_DATA", str(tmp_path))
    card = cards.load("picovoice_kitchen")
    record(tmp_path / "picovoice_intent/noise/kitchen.flac")
    assert cards.find(card) == tmp_path / "picovoice_intent/noise"
    assert noise(corpus.read(card)) == {"kitchen": ("picovoice_kitchen-kitchen", "kitchen")}
    with pytest.raises(SpeechbenchError, match=r"timit: not found .*--root"):
        corpus.read(cards.load("timit"))


def test_the_manifest_reads_back(tmp_path):
    card = own_card(tmp_path, OWN)
    record(tmp_path / "a/hello_x.wav")
    reading = corpus.read(card, tmp_path / "a")
    corpus.write(tmp_path / "out", card, reading)
    [utterance] = manifest.read(tmp_path / "out/manifest.jsonl")
    assert utterance.samples().size == RATE // 2
    assert "../a/hello_x.wav" in (tmp_path / "out/manifest.jsonl").read_text()


EXPECTED = {  # utterances that can be used, speakers or sources
    "an4_mini": (40, 33),
    "pocketsphinx_tests": (11, 3),
    "speechbrain_samples": (12, 2),
    "speechbrain_noise": (5, 5),
    "triggerrally_codriver": (129, 3),
    "triggerrally_noise": (3, 3),
    "noise_torcs": (35, 31),
    "noise_esc10": (130, 104),
    "noise_blanket": (8, 8),
    "noise_aircon_street": (5, 5),
    "picovoice_kitchen": (1, 1),
    "speech_commands_sample": (300, 41),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_real_corpora(shared_data, monkeypatch, name):
    monkeypatch.setenv("SPEECHBENCH_DATA", str(shared_data))
    card = cards.load(name)
    total = corpus.summary(card, corpus.read(card))[-1]
    assert (total["utterances"], total["sources" if card.kind == "noise" else "speakers"]) == EXPECTED[name]


def test_pocketsphinx_times(shared_data):
    reading = read("pocketsphinx_tests", shared_data / "pocketsphinx_tests")
    aligned = [u for u in reading.manifest if "alignments" in u.extra]
    assert len(aligned) == 5
    for utterance in aligned:
        words, phonemes = utterance.extra["alignments"]["words"], utterance.extra["alignments"]["phonemes"]
        assert [word for _, _, word in words] == utterance.words
        assert words[0][0] == phonemes[0][0] and len(phonemes) > 2 * len(words)
        assert all(0 <= start < end <= utterance.duration for start, end, _ in [*words, *phonemes])
