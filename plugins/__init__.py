"""Plugins: one module a model.

To write one, make a module here (or in a package of your own, with an entry point in the group `cfbench.plugins`) that

1. opens with a docstring: what the model is, on its first line; then its paper;
2. declares its hyper-parameters as a `cfbench.contract.Config`, each with a description and, to be tuned, a `Tunable`;
3. has a model with `fit`, `predict`, `state`, `restore` and `parameters`, as `cfbench.contract.Model` says;
4. exports `PLUGIN = Plugin(title=…, paper=…, config=…, build=…)`.

`bias.py` is the shortest example, `deepae.py` one that trains by epochs. Presets, one table a data set or paper, go
into a TOML file beside the module. `cfbench.testing` holds the suite that every plugin passes.
"""
