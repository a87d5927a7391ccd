"""Copies runs to the trackers of others, TensorBoard and MLflow: finished ones, or while they learn."""
