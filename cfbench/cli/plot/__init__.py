"""`cfbench plot`: one module a figure or two."""
