"""The Python API: what `import cfbench` offers, built on the functions that the command line uses (docs/python.md)."""
