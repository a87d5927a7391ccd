"""The paper's claims as data, and what gives the verdict.

    definition → grid → (runs of `cfbench.runs.sweep`) → stored → measures → comparing → verdict → report → documents

An experiment is a TOML file in this folder, or a file of the user's own. Its runs are ordinary runs of the results
folder, so that each is made once, however many experiments need it.
"""
