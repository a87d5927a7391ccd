"""Synthetic ratings, drawn in the shape and the format of the Netflix Prize, for a dry run without the real data."""
