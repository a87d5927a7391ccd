"""The version of cfbench."""

__version__ = "0.1.0"
