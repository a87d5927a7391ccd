"""`cfbench tune`: its options, what it does, what it prints."""
