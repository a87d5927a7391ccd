"""LEARNING: what models share: biases, ridge regressions, the epoch loop, autoencoders over sparse rows."""
