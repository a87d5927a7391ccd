"""SYNTH: made-up ratings of the Netflix Prize's shape, written in its format."""
