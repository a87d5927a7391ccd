"""`python -m cfbench` runs the command line."""

from cfbench.cli import main

if __name__ == "__main__":
    main()
