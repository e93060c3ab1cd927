"""From scored sets to one error report: gaps, verdict, advice, slices, confusions, examples."""

from speechbench.diagnostics.gaps import Human
from speechbench.diagnostics.given import parse_errors
from speechbench.diagnostics.report import ErrorReport, diagnose, diagnose_given
from speechbench.diagnostics.scored import ScoredSet

__all__ = ["ErrorReport", "Human", "ScoredSet", "diagnose", "diagnose_given", "parse_errors"]
