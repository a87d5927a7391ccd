"""What models share: biases, ridge regressions, the training loop, autoencoders over sparse rows."""
