"""The command `cfbench run`: the group, the flags of hyper-parameters, and runs of all folds."""
