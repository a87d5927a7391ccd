"""The sampler: its values depend on the seed and the number of the trial, and do not repeat."""

import optuna

from cfbench.tuning.sampler import NumberedSampler


def test_values_depend_on_the_seed_and_the_number_of_the_trial_only():
    space = {"x": optuna.distributions.FloatDistribution(0, 1)}

    def draw(seed, number):
        study = optuna.create_study(sampler=NumberedSampler(seed))
        study.enqueue_trial({"x": 0.5})
        trial = None
        for _ in range(number + 1):
            trial = study.ask(space)
        return trial.params["x"]

    assert draw(0, 3) == draw(0, 3)
    assert len({draw(0, 1), draw(0, 2), draw(1, 1)}) == 3


def test_a_random_trial_has_the_same_values_while_another_runs_and_after_it():
    """The first trial of a killed process may still run when the next process draws the second."""

    def second_trial(*, is_over):
        study = optuna.create_study(sampler=NumberedSampler(0))
        trials = []
        for _ in range(2):
            trial = study.ask()
            trials.append({name: trial.suggest_float(name, 0, 1) for name in ("y", "x")})
            if is_over:
                study.tell(trial, trials[-1]["x"])
        return trials[1]

    assert second_trial(is_over=True) == second_trial(is_over=False)


def test_no_values_repeat_until_nearly_all_were_tried():
    space = {
        "whole": optuna.distributions.IntDistribution(1, 6),
        "kind": optuna.distributions.CategoricalDistribution(["a", "b", "c"]),
    }
    study = optuna.create_study(sampler=NumberedSampler(0))
    for _ in range(20):  # ten trials are random, then TPE draws
        trial = study.ask(space)
        study.tell(trial, trial.params["whole"] + (trial.params["kind"] == "a"))
    first = [(trial.params["whole"], trial.params["kind"]) for trial in study.trials[:15]]
    assert len(set(first)) == 15
    assert len(study.trials) == 20  # two more than there are combinations: the sampler still draws
