"""RUNS: a model is fitted, scored and recorded."""
