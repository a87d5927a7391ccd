"""The plugins of cfbench: one module per model.

`cfbench new-plugin` writes a package with a plugin of your own. A plugin can also be a module here. Its module

1. opens with a docstring: its first line says what the model is and is shown by `cfbench run`; the paper follows;
2. declares its hyper-parameters as a `cfbench.contract.Config`: each has a description and, if it can be tuned, a
   `Tunable`;
3. defines a model with `fit`, `predict`, `state`, `restore` and `parameters`, as `cfbench.contract.Model` says; it also
   has `fold_in` if it can predict for a user who is not in the training part;
4. exports `PLUGIN = Plugin(title=…, paper=…, config=…, build=…)`; with `needs` if it imports a library that cfbench
   does not install.

`bias.py` is a short example, and `deepae.py` is an example that trains in epochs. A TOML file with the name of the
module holds presets, one table per data set or paper. `cfbench check-plugin` runs `cfbench.testing`, the tests that
every plugin passes. docs/plugins.md says more.
"""
