"""From scored sets to one error report: gaps, verdict, advice, slices, confusions, examples."""

from speechbench.diagnostics.gaps import Human
from speechbench.diagnostics.given import parse_errors
from speechbench.diagnostics.report import ErrorReport, diagnose, diagnose_given
from speechbench.diagnostics.scored import ScoredSet
from speechbench.diagnostics.versus import mismatch_closed

__all__ = ["ErrorReport", "Human", "ScoredSet", "diagnose", "diagnose_given", "mismatch_closed", "parse_errors"]
