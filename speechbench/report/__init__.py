"""Views of error reports: one self-contained page a report, and one that compares several. Computes nothing."""

from speechbench.report.pages import render_overview, render_report

__all__ = ["render_overview", "render_report"]
