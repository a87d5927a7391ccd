"""Plugins: one module a model.

To write one, make a module here (or in a package of your own, which `cfbench new-plugin` writes) that

1. opens with a docstring: what the model is, on its first line; then its paper;
2. declares its hyper-parameters as a `cfbench.contract.Config`, each with a description and, to be tuned, a `Tunable`;
3. has a model with `fit`, `predict`, `state`, `restore` and `parameters`, as `cfbench.contract.Model` says, and
   `fold_in`, if it can speak of a user it has not met;
4. exports `PLUGIN = Plugin(title=…, paper=…, config=…, build=…)`; `needs` names its libraries beyond cfbench's own.

`bias.py` is the shortest example, `deepae.py` one that trains by epochs. Presets, one table a data set or paper, go
into a TOML file beside the module. `cfbench check-plugin` runs the suite that every plugin passes, `cfbench.testing`.
docs/plugins.md says more.
"""
