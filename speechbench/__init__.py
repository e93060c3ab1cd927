"""speechbench: where a speech recogniser's errors come from, and what to do next."""

__version__ = "0.1.0"
