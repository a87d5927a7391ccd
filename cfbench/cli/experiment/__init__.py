"""`cfbench experiment`: one module a command."""
