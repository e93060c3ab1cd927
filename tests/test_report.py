import json
import os
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from planted_errors import plant

from speechbench import audio
from speechbench.diagnostics import Human, diagnose, mismatch_closed
from speechbench.report import render_overview, render_report

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
    """The tags of a page, balanced, and what it refers to."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links = [], [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        names = dict(attributes)
        self.tags.append((tag, names))
        self.ids += [names["id"]] if "id" in names else []
        self.links += [names[key] for key in ("src", "href") if key in names]
        if tag not in ("meta", "link", "br", "path", "use", "rect", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in ("path", "use", "rect"):
            assert self.open.pop() == tag


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


def test_page_is_self_contained_accessible_and_repeats(documents, tmp_path):
    for number in (1, 2):
        render_report(documents["synth"], tmp_path / f"{number}.html")
    text = (tmp_path / "1.html").read_text()
    assert text == (tmp_path / "2.html").read_text()
    page = Page(text)
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert "http" not in text.replace("http://www.w3.org", "").replace("https://matplotlib.org", "")
    figures = [names for tag, names in page.tags if tag == "figure"]
    assert len(figures) == 2
    assert all(names["aria-label"] for names in figures)
    tags = [tag for tag, _ in page.tags]
    assert tags.count("table") == tags.count("caption") > 5
    assert tags.count("h1") == 1
    assert documents["synth"]["sentence"] in text


def test_unreadable_audio_is_said(documents, tmp_path):
    render_report(documents["clean"], tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert text.count("no such file") == len(documents["clean"]["examples"]) > 0
    assert "<audio" not in text


def test_noisy_and_clean_audio_are_inside(tmp_path):
    scored = plant("dev", 0.3, utterances=12, noise=True, folder=tmp_path)
    for utterance in scored.manifest:
        audio.write(utterance.audio_filepath, np.full(32_000, 0.1, np.float32))
        utterance.extra["clean_filepath"] = utterance.audio_filepath.name
    scored.manifest.write(tmp_path / "dev.jsonl")
    report = diagnose({"dev": scored}).document()
    render_report(report, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text()
    assert text.count("data:audio/flac;base64,") == 2 * len(report["examples"])


def test_texts_cannot_break_the_page(documents, tmp_path):
    render_report(documents["clean"] | {"name": "<script>alert(1)</script>"}, tmp_path / "report.html")
    assert "<script" not in (tmp_path / "report.html").read_text()


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
    assert "1 hypotheses are missing" in (tmp_path / "report.html").read_text()
