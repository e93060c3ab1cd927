import base64
import dataclasses
import io
import json
import os
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from planted_errors import plant

from speechbench import audio
from speechbench.diagnostics import Human, diagnose, diagnose_given, mismatch_closed, parse_errors
from speechbench.diagnostics.ladder import Ladder
from speechbench.diagnostics.repairs import Repairs
from speechbench.diagnostics.scored import ScoredSet
from speechbench.manifest import Manifest, Utterance
from speechbench.recognizer import Hypothesis
from speechbench.report import render_overview, render_report
from speechbench.report.spectrograms import HEIGHT, WIDEST, draw_spectrogram
from speechbench.report.terminal import Table, summarise

GOLDEN = Path(__file__).parent / "golden" / "report.json"


@pytest.fixture(scope="module")
def documents():
    older = _sets(dev=0.30)
    newer = _sets(dev=0.15)
    human = Human.parse("0.02:0.04")
    return {
        "clean": diagnose(older, human, name="clean").document(),
        "synth": diagnose(newer, human, name="synth", versus=older, versus_name="clean").document(),
    }


def _sets(dev, folder=None):
    return {
        "train": plant("train", 0.06),
        "train_dev": plant("train_dev", 0.08, greedy=True),
        "dev": plant("dev", dev, noise=True, folder=folder),
        "test": plant("test", dev, noise=True),
    }


class Page(HTMLParser):
    """The tags of a page, balanced, what it refers to, and its text by the id of the heading above it."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.texts = [], [], [], [], {None: ""}
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.tags.append((tag, names))
        if tag in ("h2", "footer") and "id" in names:
            self.texts[names["id"]] = ""
        self.ids += [names["id"]] if "id" in names else []
        self.links += [names[key] for key in ("src", "href") if key in names]
        if tag not in ("meta", "link", "br", "path", "use", "rect", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in ("path", "use", "rect"):
            assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.texts[list(self.texts)[-1]] += data


def test_document_is_the_golden_one(documents):
    """Rewritten only on request: UPDATE_GOLDEN=1 pytest tests/test_report.py."""
    document = {key: value for key, value in documents["synth"].items() if key not in ("examples", "provenance")}
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    if os.environ.get("UPDATE_GOLDEN") == "1":
        GOLDEN.write_text(text, encoding="utf-8")
    assert text == GOLDEN.read_text(encoding="utf-8")


def test_versus_finds_the_closed_mismatch(documents):
    versus = documents["synth"]["versus"]
    assert versus["changes"]["dev"]["separable"] is True
    assert versus["changes"]["dev"]["value"] == pytest.approx(-0.15, abs=0.03)
    assert versus["changes"]["train"]["value"] == 0
    closed = mismatch_closed(documents["synth"], documents["clean"])
    assert closed["low"] < 0.15 / 0.22 < closed["high"]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A document with every section, whose audio is there."""
    folder = tmp_path_factory.mktemp("everything")
    older, newer = _sets(dev=0.40), _sets(dev=0.20, folder=folder)
    dev = newer["dev"]
    for utterance in dev.manifest:
        audio.write(utterance.audio_filepath, np.full(32_000, 0.1, np.float32))
        utterance.extra["clean_filepath"] = utterance.audio_filepath.name
    dev.manifest.write(folder / "dev.jsonl")
    rungs = {"clean": plant("dev", 0.05, noise=True, folder=folder), "own_noise": dev}
    sweep = {snr_db: plant("dev", rate, noise=True, folder=folder) for snr_db, rate in ((0.0, 0.4), (20.0, 0.1))}
    heard = plant("dev", 0.01, noise=True, folder=folder).hypotheses
    lexicon = {word for u in dev.manifest for word in u.words} - {"q"}
    phonemes = {key: dataclasses.replace(one, oracle="phonemes") for key, one in heard.items()}
    text = {"about": "text", "name": "<lexicon>", "newer": 2.5, "older": None}
    report = diagnose(
        newer,
        Human.parse("0.02"),
        name="synth",
        versus=older,
        versus_name="clean",
        ladder=Ladder(rungs, len(dev.manifest), ("A note on the ladder.",), sweep),
        repairs=Repairs(dev, len(dev.manifest), lexicon, aligned={}, clean=rungs["clean"].hypotheses, phonemes=phonemes),
        differences=[text],
    )
    return report.document()


@pytest.fixture(scope="module")
def rendered(everything, tmp_path_factory):
    """Its page."""
    page = tmp_path_factory.mktemp("rendered") / "report.html"
    render_report(everything, page)
    return page


HINTS = {"--ladder": "room, noise", "--stages": "search", "--versus RUN2": "another system", "--human RATE": "human level"}


def test_page_repeats(documents, tmp_path):
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
        render_report(documents["synth"], tmp_path / number / "report.html")
    assert (tmp_path / "1" / "report.html").read_text() == (tmp_path / "2" / "report.html").read_text()


def test_page_is_self_contained_and_accessible(rendered):
    text = rendered.read_text()
    assert len(text) < 1_000_000
    page = Page(text)
    assert all(link.startswith(("#", "data:", "report-audio/")) for link in page.links)
    assert {link[1:] for link in page.links if link.startswith("#") and link[1:].islower()} <= set(page.ids)
    assert "http" not in text.replace("http://www.w3.org", "").replace("https://matplotlib.org", "")
    pictures = [names for tag, names in page.tags if names.get("role") == "img"]
    assert len(pictures) == 5  # gaps, ladder, SNR, sweep, stages
    assert all(names["aria-label"] for names in pictures)
    assert all(names["alt"] for tag, names in page.tags if tag == "img")
    assert [names["tabindex"] for _, names in page.tags if names.get("role") == "region"].count("0") > 5  # scrolled by keys
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == tags.count("caption") > 15
    assert tags.count("h1") == 1


def test_reader_in_a_hurry_has_verdict_advice_and_gaps_first(everything, rendered):
    first = Page(rendered.read_text()).texts[None]
    assert first.index(everything["sentence"]) < first.index(everything["advice"][0]["action"]) < first.index("word error rate")


def test_every_section_is_drawn(everything, rendered):
    texts = Page(rendered.read_text()).texts
    assert list(texts) == [None, "next", "gaps", "causes", "listen", "labels", "versus", "provenance"]
    for advice in everything["advice"]:
        assert advice["command"] in texts["next"]
    causes = " ".join(texts["causes"].split())
    for section in ("ladder", "stages"):
        assert everything[section]["sentence"] in causes
    for expected in ("A note on the ladder.", "made again at fixed SNRs", "q (", "noise and room", "Weak slices", "By SNR"):
        assert expected in causes
    for example in everything["examples"]:
        assert example["id"] in texts["listen"]
    for suspect in everything["suspects"]:
        assert suspect["reference"] in texts["labels"]
    for expected in ("only clean has right", "better of both", "<lexicon>", "2.5", "p < 1e-9"):
        assert expected in texts["versus"]
    assert "Not measured" not in "".join(texts.values())


def test_absent_sections_name_the_option_that_gives_them(tmp_path):
    render_report(diagnose({"dev": plant("dev", 0.1)}).document(), tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    said = " ".join(" ".join(page.texts.values()).split())
    for option, what in HINTS.items():
        assert re.search(rf"Not measured: [^.]*{what}.*?Add {option} to speechbench diagnose", said), option
    assert not [
        text for text in re.findall(r"<tbody>(.*?)</tbody>", (tmp_path / "report.html").read_text(), re.S) if "<tr>" not in text
    ]


def test_numbers_alone_have_a_page(tmp_path):
    render_report(diagnose_given(parse_errors("train=0.07,dev=84/700", 0)).document(), tmp_path / "report.html")
    texts = Page((tmp_path / "report.html").read_text()).texts
    for section in ("causes", "listen", "labels"):
        assert "numbers alone" in texts[section].lower()
    assert not (tmp_path / "report-audio").exists()


def test_a_cause_is_drawn_where_the_advice_has_one(documents, tmp_path):
    advice = [documents["clean"]["advice"][0] | {"cause": "small_network"}]
    render_report(documents["clean"] | {"advice": advice}, tmp_path / "report.html")
    assert "Cause: small network." in (tmp_path / "report.html").read_text()


def test_unreadable_audio_is_said(documents, tmp_path):
    render_report(documents["clean"], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert text.count("no such file") == len(documents["clean"]["examples"]) > 0
    assert "<audio" not in text


def test_noisy_and_clean_audio_lie_beside(everything, rendered):
    text = rendered.read_text()
    sources = re.findall(r'<audio [^>]*src="([^"]+)"', text)
    assert len(sources) == len(set(sources)) == text.count("data:image/webp;base64,") == 2 * len(everything["examples"])
    for source in sources:
        assert len(audio.read(rendered.parent / source)) == 32_000


def test_texts_cannot_break_the_page(documents, tmp_path):
    render_report(documents["clean"] | {"name": "<script>alert(1)</script>"}, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert "alert(1)" in text
    assert text.count("<script") == 1  # our own


def test_terminal_begins_with_the_verdict_and_three_advices(everything):
    blocks = list(summarise(everything))
    assert blocks[0].startswith(everything["sentence"])
    assert [line.split(":")[0] for line in blocks[1].splitlines() if not line.startswith(" ")] == ["Next", "Then", "Then"]
    for advice in everything["advice"][:3]:
        assert advice["command"] in blocks[1]
    assert "in the report" in blocks[1]
    titles = " | ".join(block.title for block in blocks if isinstance(block, Table))
    for expected in ("error rates", "Gaps", "distributions", "Ladder", "Stages", "Weak", "cost most", "doubt", "Against clean"):
        assert expected in titles
    for block in blocks:
        if isinstance(block, Table):
            assert len({tuple(row) for row in block.rows}) == 1, block.title


def test_overview_compares_systems(documents, tmp_path):
    reports = {"pipeline, clean": documents["clean"], "pipeline, synth": documents["synth"]}
    render_overview(reports, tmp_path / "overview.html", {"pipeline, synth": tmp_path / "synth" / "report.html"})
    text = (tmp_path / "overview.html").read_text()
    page = Page(text)
    assert [link for link in page.links if not link.startswith("#")] == ["synth/report.html"]
    closed = mismatch_closed(documents["synth"], documents["clean"])
    assert f"{100 * closed['value']:.0f} % (" in text
    assert "pipeline, clean</td>" in text


def test_missing_hypotheses_are_said(tmp_path):
    scored = plant("dev", 0.1)
    del scored.hypotheses["dev-007"]
    kept = type(scored)(scored.manifest, scored.hypotheses, "deletions")
    document = diagnose({"dev": kept}, Human.parse("0.01")).document()
    assert document["missing"] == {"dev": ["dev-007"]}
    render_report(document, tmp_path / "report.html")
    assert (
        "Dev: 1 utterance without a hypothesis; their words count as deleted: dev-007" in (tmp_path / "report.html").read_text()
    )


def _read_picture(data):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("L"))


@pytest.mark.parametrize("seconds", [0.001, 0.5, 30.0])
def test_spectrogram_is_small_and_shows_a_tone_where_it_is(seconds):
    samples = np.sin(2 * np.pi * 1500 * np.arange(round(16_000 * seconds)) / 16_000, dtype=np.float32)
    kind, data = draw_spectrogram(samples).split(";base64,")
    assert kind == "data:image/webp"
    assert len(data) < 12_000
    picture = _read_picture(data)
    assert picture.shape[0] == HEIGHT
    assert picture.shape[1] <= WIDEST
    if seconds > 0.1:
        brightest = int(np.argmax(picture.mean(axis=1)))
        assert brightest == pytest.approx(HEIGHT * (1 - 1500 / 6000), abs=2)


@pytest.mark.parametrize("heard", ["one two three four", "one three", "one two three", ""])
def test_errors_of_one_kind_alone(tmp_path, heard):
    """Insertions cost no word of the reference, and deletions are heard as nothing."""
    rows = tuple(Utterance(f"u{n}", Path("absent.flac"), 1.0, text="one two three", speaker=f"s{n % 6}") for n in range(12))
    told = {u.id: Hypothesis(u.id, heard if n == 3 else u.text) for n, u in enumerate(rows)}
    document = diagnose({"dev": ScoredSet(Manifest(rows), told)}, Human.parse("0.01")).document()
    render_report(document, tmp_path / "report.html")
    assert ("Reference words that cost most" in (tmp_path / "report.html").read_text()) == (heard in ("one three", ""))
    assert list(summarise(document))
