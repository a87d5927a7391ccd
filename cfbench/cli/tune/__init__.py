"""`cfbench tune`."""
