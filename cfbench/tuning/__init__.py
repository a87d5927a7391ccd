"""The search for hyper-parameters; it uses the training and the validation part only."""
