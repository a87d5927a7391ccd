"""`cfbench run`."""
