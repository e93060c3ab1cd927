"""Bad input through the real command line: one line that says what is wrong, exit 1, and nothing written."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from made_speech import contents, make_noise, rows_of, syllables

from speechbench import audio, cli
from speechbench.manifest import Manifest, Utterance

RATE = audio.SAMPLING_RATE
SENTENCES = ["turn on the radio", "call my mother", "stop the music now", "open the window"]
SHORT = {
    "pipeline": "gmm.monophone_gaussians=1 gmm.gaussians=1 gmm.iterations=1 network.epochs=1 network.speeds=[] network.width=64 network.layers=2 beam=5",
    "e2e": "training.epochs=1 encoder.channels=32 encoder.recurrent=16 beam=5",
}


def train(mode, speech, dev="dev.jsonl", out="out"):
    settings = [word for setting in SHORT[mode].split() for word in ("--set", setting)]
    return ["train", "--mode", mode, "--train", speech, "--dev", dev, *settings, "--out", out]


# What reads a speech manifest; "BAD" stands for the bad one.
COMMANDS = {
    "train-pipeline": train("pipeline", "BAD"),
    "train-pipeline-dev": train("pipeline", "train.jsonl", "BAD"),
    "train-e2e": train("e2e", "BAD"),
    "train-e2e-dev": train("e2e", "train.jsonl", "BAD"),
    "synth": ["synth", "--speech", "BAD", "--noise", "noise.jsonl", "--jobs", "1", "--out", "out"],
    "synth-dry": ["synth", "--speech", "BAD", "--noise", "noise.jsonl", "--dry-run", "--out", "out"],
    "synth-noise": ["synth", "--speech", "dev.jsonl", "--noise", "BAD", "--jobs", "1", "--out", "out"],
    "decode": ["decode", "run", "--data", "BAD", "--out", "out"],
    "score": ["score", "--reference", "BAD", "--hypothesis", "hyp.jsonl"],
    "diagnose": ["diagnose", "run", "--dev", "BAD", "--out", "out"],
    "diagnose-outside": ["diagnose", "--hypotheses", "dev=hyp.jsonl", "--dev", "BAD", "--out", "out"],
    "split": ["split", "BAD", "--by", "id", "--fractions", "train=.5,dev=.5", "--out", "out"],
    "check": ["check", "BAD", "--jobs", "1"],
}
NEED_TEXT = ["train-pipeline", "train-pipeline-dev", "train-e2e", "train-e2e-dev", "score", "diagnose", "diagnose-outside"]
HEAR = [
    "train-pipeline",
    "train-pipeline-dev",
    "train-e2e",
    "train-e2e-dev",
    "synth",
    "synth-noise",
    "decode",
    "diagnose",
    "check",
]

LINES = {
    "missing": (None, "bad.jsonl: no such file"),
    "empty": ("", "bad.jsonl: holds no utterance"),
    "not-json": ('{"audio_filepath": "a.wav"\n' * 2, "bad.jsonl: 2 bad lines: line 1: not JSON"),
    "no-duration": ('{"audio_filepath": "a.wav"}\n', "bad.jsonl: 1 bad lines: line 1: 'duration' is None"),
    "twice": ('{"audio_filepath": "a.wav", "duration": 1, "text": "hi"}\n' * 2, "bad.jsonl: 1 ids occur twice: a"),
}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A folder with good speech, noise, a trained run and hypotheses, and bad recordings."""
    folder = tmp_path_factory.mktemp("world")
    for name, count in (("train", 14), ("dev", 4)):
        rows = []
        for number in range(count):
            path = folder / "speech" / f"{name}{number:02d}.flac"
            audio.write(path, syllables(np.random.default_rng([count, number]), 1.2))
            rows.append(Utterance(path.stem, path, 1.2, text=SENTENCES[number % 4], speaker=f"s{number % 3}"))
        Manifest(tuple(rows)).write(folder / f"{name}.jsonl")
    make_noise(folder)
    bad = folder / "recordings"
    bad.mkdir()
    whole = (folder / "speech" / "train05.flac").read_bytes()
    (bad / "unreadable.flac").write_bytes(whole[: len(whole) // 2])
    (bad / "zero-length.wav").write_bytes(audio.encode(np.zeros(0, np.float32), suffix=".wav"))
    soundfile.write(bad / "nan.wav", np.full(RATE, np.nan), RATE, subtype="FLOAT")
    (folder / "hyp.jsonl").write_text("".join(json.dumps({"id": f"dev{n:02d}", "text": "call"}) + "\n" for n in range(4)))
    (folder / "mine").mkdir()
    (folder / "mine" / "thesis.txt").write_text("x")
    (folder / "mine.txt").write_text("x")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["speechbench", *train("e2e", "train.jsonl", out="run")])
        cli.main()
    return folder


@pytest.fixture
def call(world, monkeypatch, capsys):
    """Run a command in the world; answers exit code, lines of stdout and of stderr. Clean up what it wrote."""
    monkeypatch.chdir(world)
    before = contents(world)
    capsys.readouterr()

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["speechbench", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code
        printed = capsys.readouterr()
        return code, printed.out.splitlines(), printed.err.splitlines()

    yield call
    for path in set(contents(world)) - set(before):
        (world / path).unlink()
    for name in ("out", "run/hypotheses"):
        shutil.rmtree(world / name, ignore_errors=True)


@pytest.fixture
def refuses(call, world):
    """Assert that a command ends with 1 and one line, and that it left everything as it was."""

    def refuses(arguments, said, progress=False):
        before = contents(world)
        code, out, err = call(*arguments)
        assert code == 1, (out, err)
        assert err[-1].startswith("speechbench: ") and said in err[-1], err
        assert not any("Traceback" in line for line in err)
        assert progress or len(err) == 1, err
        assert contents(world) == before and not (world / "out").exists()
        return out, err

    return refuses


def with_bad(command):
    return ["bad.jsonl" if word == "BAD" else word for word in COMMANDS[command]]


@pytest.mark.parametrize("fault", LINES)
@pytest.mark.parametrize("command", COMMANDS)
def test_bad_manifests(refuses, world, command, fault):
    text, said = LINES[fault]
    if text is not None:
        (world / "bad.jsonl").write_text(text)
    refuses(with_bad(command), said)


@pytest.mark.parametrize("command", NEED_TEXT)
def test_texts_that_are_missing(refuses, world, command):
    rows = rows_of(world / "dev.jsonl")
    for row, text in zip(rows, (None, "", " ", "call my mother"), strict=True):
        row.pop("text")
        row |= {} if text is None else {"text": text}
    (world / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    refuses(with_bad(command), "bad.jsonl: 3 of 4 utterances have no text: dev00, dev01, dev02; add 'text' or remove them")


@pytest.mark.parametrize("recording", ["unreadable.flac", "zero-length.wav", "nan.wav", "gone.wav"])
@pytest.mark.parametrize("command", HEAR)
def test_recordings_that_are_all_bad(refuses, world, command, recording):
    rows = [row | {"audio_filepath": f"recordings/{recording}"} for row in rows_of(world / "dev.jsonl")]
    (world / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    out, err = refuses(with_bad(command), "", progress=True)
    assert recording in " ".join([*out, *err])
    assert command == "check" or "none of the 4" in err[-1] or "no " in err[-1], err


@pytest.mark.parametrize("recording", ["unreadable.flac", "zero-length.wav", "nan.wav"])
def test_prepare_of_a_corpus_that_is_all_bad(refuses, world, recording):
    (world / "transcripts.tsv").write_text(f"file\ttext\tspeaker\tseconds\nrecordings/{recording}\tzero\tann\t1.0\n")
    refuses(["prepare", "fsdd", "--root", ".", "--out", "out"], "none of the 1 utterances of fsdd can be used", progress=True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("prepare fsddd --out out", "unknown corpus 'fsddd'; did you mean fsdd"),
        ("prepare none.toml --out out", "none.toml: no such file"),
        ("prepare fsdd --root gone --out out", "gone: no such folder"),
        ("prepare fsdd --root speech --out out", "speech: holds no transcripts.tsv"),
        ("prepare car_noise --set carss=3 --out out", "unknown config key 'carss'; did you mean cars"),
        ("train --mode e2e --train train.jsonl --dev dev.jsonl --out out --set epochs=1", "unknown config key 'epochs'"),
        (
            "train --mode e2e --train train.jsonl --dev dev.jsonl --out out --set training.epoch=1",
            "did you mean training.epochs",
        ),
        ("train --mode pipeline --train train.jsonl --dev dev.jsonl --out out --set gmm.gaussians=many", "expected int"),
        ("train --mode pipeline --train train.jsonl --dev dev.jsonl --out out --set network.layers=0", "expected 1 or more"),
        ("train --mode pipeline --train train.jsonl --dev dev.jsonl --out out --config none.toml", "none.toml: no such file"),
        (
            "train --mode pipeline --train train.jsonl --dev dev.jsonl --out out --set lexicon=none.txt",
            "none.txt: no such file",
        ),
        (
            "synth --speech dev.jsonl --noise noise.jsonl --out out --recipe cars",
            "unknown recipe (or name a .toml file) 'cars'",
        ),
        ("synth --speech dev.jsonl --noise noise.jsonl --out out --recipe none.toml", "none.toml: no such file"),
        ("synth --speech dev.jsonl --noise noise.jsonl --out out --set snr=3", "unknown config key 'snr'; did you mean snr_db"),
        ("synth --speech dev.jsonl --noise noise.jsonl --out out --snr inf", "'snr_db' lies between -90 and 90 dB"),
        ("split dev.jsonl --by speeker --fractions a=.5,b=.5 --out out", "did you mean speaker"),
        ("split dev.jsonl --by id --fractions a=nan,b=nan --out out", "every split needs a fraction above 0"),
        ("decode gone --data dev.jsonl --out out", "gone: no such run"),
        ("decode speech --data dev.jsonl --out out", "speech: holds no finished training"),
        ("score --reference dev.jsonl --hypothesis gone", "gone: no such file"),
        ("score --reference train.jsonl --hypothesis hyp.jsonl", "4 hypotheses have no reference"),
        ("diagnose gone --dev dev.jsonl --out out", "gone: no such run"),
        ("diagnose --errors dev=2", "--errors dev=2: expected a fraction"),
        ("explain speech dev00", "speech: holds no finished build"),
        ("rebuild speech", "speech: holds no finished build"),
    ],
)
def test_names_and_values_that_are_wrong(refuses, arguments, said):
    refuses(arguments.split(), said)


WRITERS = {name: COMMANDS[name] for name in ("train-pipeline", "train-e2e", "synth", "decode", "diagnose", "split")}


@pytest.mark.parametrize("command", WRITERS)
def test_outputs_that_exist(refuses, command):
    arguments = ["dev.jsonl" if word == "BAD" else word for word in WRITERS[command]][:-1]
    mine = "mine.txt" if command == "decode" else "mine"
    refuses([*arguments, mine], f"{mine}: exists already; name another or add --overwrite")
    refuses([*arguments, "mine", "--overwrite"], "mine: is a folder" if command == "decode" else "left alone")
    if command != "decode":
        refuses([*arguments, "mine.txt", "--overwrite"], "left alone")


@pytest.mark.parametrize("command", [name for name in WRITERS if name != "diagnose"])
def test_outputs_below_a_file(refuses, command):
    arguments = ["dev.jsonl" if word == "BAD" else word for word in WRITERS[command]][:-1]
    refuses([*arguments, "mine.txt/below"], "mine.txt", progress=True)


@pytest.mark.parametrize(
    "arguments",
    [
        [*train("e2e", "data/m.jsonl"), "data"],
        [*train("e2e", "dev.jsonl", "data/m.jsonl"), "data"],
        ["synth", "--speech", "data/m.jsonl", "--noise", "noise.jsonl", "data"],
        ["synth", "--speech", "dev.jsonl", "--noise", "data/n.jsonl", "data"],
        ["split", "data/m.jsonl", "--by", "id", "--fractions", "a=.5,b=.5", "data"],
        ["decode", "run", "--data", "data/m.jsonl", "data/m.jsonl"],
        ["diagnose", "run", "--dev", "data/m.jsonl", "data"],
        ["diagnose", "run", "--dev", "dev.jsonl", "run"],
    ],
    ids=lambda arguments: f"{arguments[0]}-{arguments[-1]}",
)
def test_an_output_never_replaces_what_it_is_made_from(refuses, world, arguments):
    (world / "data").mkdir(exist_ok=True)
    for name, source in (("m", "dev"), ("n", "noise")):
        Manifest(tuple(_moved(row, world) for row in rows_of(world / f"{source}.jsonl"))).write(
            world / "data" / f"{name}.jsonl"
        )
    (world / "data" / "speechbench.json").write_text('{"kind": "corpus", "finished": true}')
    *words, out = arguments
    words = words[: words.index("--out")] if "--out" in words else words
    refuses([*words, "--out", out, "--overwrite"], "which is read to make it")


def _moved(row, world):
    return Utterance(row["id"], world / row["audio_filepath"], row["duration"], text=row.get("text"))


@pytest.fixture
def mixed(world):
    """The training manifest with one recording in its middle cut off."""
    rows = rows_of(world / "train.jsonl")
    rows[5]["audio_filepath"] = "recordings/unreadable.flac"
    (world / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [row["id"] for row in rows if row["id"] != "train05"]


def skips(err, path):
    """Assert that the one bad recording is named, counted and listed."""
    assert any(line.startswith("skipped train05") and "unreadable.flac" in line for line in err), err
    assert any(" utterances were skipped, listed in " in line and line.startswith("1 of ") for line in err), err
    (row,) = rows_of(path)
    assert row["id"].startswith("train05") and "unreadable.flac: cannot be read as audio" in row["reason"]


@pytest.mark.parametrize("mode", SHORT)
def test_training_skips_a_corrupt_recording(call, mixed, world, mode):
    code, out, err = call(*train(mode, "bad.jsonl"))
    assert (code, out) == (0, ["out"]), err
    skips(err, world / "out" / "skipped.jsonl")
    assert json.loads((world / "out" / "speechbench.json").read_text())["skipped"] == 1
    assert call("decode", "out", "--data", "dev.jsonl", "--out", "out/h.jsonl")[0] == 0


def test_synth_skips_a_corrupt_recording(call, mixed, world):
    code, _, err = call("synth", "--speech", "bad.jsonl", "--noise", "noise.jsonl", "--jobs", "1", "--out", "out")
    assert code == 0, err
    skips(err, world / "out" / "skipped.jsonl")
    assert [row["clean_id"] for row in rows_of(world / "out" / "manifest.jsonl")] == mixed


def test_decode_skips_a_corrupt_recording_and_scores_say_that_it_is_missing(call, mixed, world):
    code, _, err = call("decode", "run", "--data", "bad.jsonl", "--out", "h.jsonl")
    assert code == 0, err
    skips(err, world / "h.skipped.jsonl")
    assert [row["id"] for row in rows_of(world / "h.jsonl")] == mixed
    score = ["score", "--reference", "bad.jsonl", "--hypothesis", "h.jsonl"]
    assert call(*score)[0] == 1
    assert call(*score, "--missing", "deletions")[1][-1] == "Scored 14, 1 missing"
    # Decoded again where nothing is bad, the list goes.
    assert call("decode", "run", "--data", "train.jsonl", "--out", "h.jsonl", "--overwrite")[0] == 0
    assert not (world / "h.skipped.jsonl").exists()


def test_decode_that_fails_leaves_the_old_hypotheses(call, world):
    (world / "h.jsonl").write_text("old")
    (world / "bad.jsonl").write_text('{"audio_filepath": "gone.wav", "duration": 1}\n')
    assert call("decode", "run", "--data", "bad.jsonl", "--out", "h.jsonl", "--overwrite")[0] == 1
    assert (world / "h.jsonl").read_text() == "old"


def test_check_names_a_corrupt_recording(call, mixed):
    code, out, err = call("check", "bad.jsonl", "--jobs", "1", "--format", "json")
    findings = json.loads("\n".join(out))["findings"]
    assert code == 1 and "AUDIO_UNREADABLE" in err[-1]
    assert [f["names"] for f in findings if f["code"] == "AUDIO_UNREADABLE"] == [["train05"]]


def test_noise_with_a_corrupt_recording(call, world):
    rows = rows_of(world / "noise.jsonl")
    rows[2] |= {"audio_filepath": "recordings/nan.wav", "duration": 1.0}
    (world / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, err = call("synth", "--speech", "dev.jsonl", "--noise", "bad.jsonl", "--jobs", "1", "--out", "out")
    assert code == 0, err
    assert any(line.startswith(f"skipped {rows[2]['id']}") and "not finite" in line for line in err)
    used = {piece["id"] for row in rows_of(world / "out" / "manifest.jsonl") for piece in row["noise"]}
    assert rows[2]["id"] not in used


@pytest.mark.parametrize(("mode", "text"), [("pipeline", "CALL My mother"), ("e2e", "CALL 2 #1 x(y) née")])
def test_words_come_back_as_they_were_written(call, world, mode, text):
    # What a training keeps is read again by decode: capitals, digits, brackets and # are no signs of a file format then.
    rows = [row | {"text": text} for row in rows_of(world / "train.jsonl")]
    (world / "bad.jsonl").write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    assert call(*train(mode, "bad.jsonl", "bad.jsonl"))[0] == 0
    code, _, err = call("decode", "out", "--data", "bad.jsonl", "--out", "h.jsonl")
    assert code == 0, err
    words = {word for row in rows_of(world / "h.jsonl") for word in row["text"].split()}
    assert words and words <= set(text.split())


def test_the_shortest_recordings(call, world):
    for number, samples in enumerate((1, 200, 700)):
        audio.write(Path(f"short{number}.wav"), np.full(samples, 0.1, np.float32))
    rows = rows_of(world / "dev.jsonl")
    for number, samples in enumerate((1, 200, 700)):
        rows[number] |= {"audio_filepath": f"short{number}.wav", "duration": samples / RATE}
    (world / "bad.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, err = call("decode", "run", "--data", "bad.jsonl", "--out", "h.jsonl")
    assert code == 0 and "Traceback" not in " ".join(err)
    code, _, err = call("synth", "--speech", "bad.jsonl", "--noise", "noise.jsonl", "--jobs", "1", "--out", "out")
    assert code == 0, err
