"""TUNING: hyper-parameters are searched, by validation alone."""
