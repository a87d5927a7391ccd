"""`cfbench tune`: the command and its options."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import completion, console
from cfbench.cli.dataset_choice import dataset_card, open_or_download
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    DatasetOption,
    DeviceOption,
    JsonOption,
    RefitOption,
    ResultsOption,
    StorageOption,
    parse_time,
)
from cfbench.cli.tune.study import TuneOptions, tune_all_plugins, tune_plugin

if TYPE_CHECKING:
    from cfbench.data.card import Card

TRIALS = 50
"""The number of trials when neither a number nor a time is given."""


SplitOption = Annotated[
    str | None,
    typer.Option(
        "--split",
        metavar="NAME",
        help="The split, which needs a validation part; random90@7 is random90 drawn with seed 7. "
        "Default: your own split if you imported one, else random90.",
        autocompletion=completion.splits,
        show_default=False,
    ),
]


def tune(  # noqa: PLR0913, PLR0917 (options, each with a name)
    plugin: Annotated[
        str | None,
        typer.Argument(
            metavar="[PLUGIN]", help="The plugin to tune.", autocompletion=completion.plugins, show_default=False
        ),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Tune each installed plugin that has ranges, one after the other.")
    ] = False,
    dataset: DatasetOption = None,
    split: SplitOption = None,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            min=1,
            metavar="N",
            show_default=False,
            help=f"The number of trials of the study in total; {TRIALS} when no time is given.",
        ),
    ] = None,
    timeout: Annotated[
        Any,
        typer.Option(
            "--timeout",
            "--budget",
            parser=parse_time,
            metavar="TIME",
            show_default=False,
            help="The time for all trials of the study together, such as 30m or 2h. A fit that is still running then "
            "is stopped, unless it is the first.",
        ),
    ] = None,
    workers: Annotated[
        int, typer.Option("--workers", min=1, metavar="N", help="The number of trials that run at the same time.")
    ] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The seed of the search and of each fit.")] = 0,
    study: Annotated[
        str | None,
        typer.Option(
            "--study",
            metavar="NAME",
            show_default=False,
            help="The study to start or to resume; by default PLUGIN-DATASET-SPLIT.",
        ),
    ] = None,
    storage: StorageOption = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="NAME=RANGE",
            show_default=False,
            help="Search this range instead: lr=1e-4:1e-2:log, refeed=0:2, activation='selu|elu'. Repeatable.",
        ),
    ] = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option(
            "--fix", metavar="NAME=VALUE", show_default=False, help="Do not search this; use the value. Repeatable."
        ),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            show_default=False,
            help="The preset to start from; by default that of the data set, or the plugin's defaults.",
            autocompletion=completion.presets,
        ),
    ] = None,
    no_preset: Annotated[bool, typer.Option("--no-preset", help="Start from the plugin's defaults.")] = False,
    device: DeviceOption = "auto",
    save_preset: Annotated[
        bool,
        typer.Option(
            "--save-preset",
            help="Save the best config as your own preset of the data set, which `cfbench run` then uses. If the split "
            "is not the default one, the preset is called DATASET-SPLIT, and only `--preset DATASET-SPLIT` uses it.",
        ),
    ] = False,
    then_run: Annotated[
        bool, typer.Option("--then-run", help="Run the best config and score it on the test part.")
    ] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            min=1,
            metavar="K",
            show_default=False,
            help="With --then-run: the number of runs, each with another seed; by default one.",
        ),
    ] = None,
    refit: RefitOption = False,
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    """Search the hyper-parameters with the smallest validation RMSE; the test part is not used.

    The first trial is the config that the study starts from. The same command resumes a study that was interrupted.
    The exit status is 1 when no trial finished, or when a run of the best config has no score.

    Examples: cfbench tune deepae --trials 30; cfbench tune deepae --timeout 2h --workers 4 --fix epochs=40
    --range lr=1e-3:1e-1:log; cfbench tune --all --budget 30m --then-run --seeds 3
    """  # fmt: skip
    if all_ == (plugin is not None):
        raise typer.BadParameter("name a plugin, or give --all")
    if all_ and (ranges or fixed or preset):
        raise typer.BadParameter("--all takes no --range, --fix or --preset: plugins differ in their hyper-parameters")
    if seeds is not None and not then_run:
        raise typer.BadParameter("--seeds needs --then-run: it is the number of runs of the best config")
    if refit and not then_run:
        raise typer.BadParameter(
            "--refit needs --then-run: trials are compared by validation ratings, so they keep them"
        )
    if trials is None and timeout is None:
        trials = TRIALS
    card = dataset_card(dataset)
    split = split or card.default_split
    _check_split(card, split)
    options = TuneOptions(
        card=card, split=split, trials=trials, timeout=timeout, workers=workers, seed=seed, study=study,
        storage=storage, ranges=ranges or [], fixed=fixed or [], preset=preset, no_preset=no_preset, device=device,
        save_preset=save_preset, seeds=(seeds or 1) if then_run else 0, refit=refit, results=results, json=json,
    )  # fmt: skip
    open_or_download(card)
    summaries = tune_all_plugins(options) if all_ else [tune_plugin(str(plugin), options)]
    if json:
        data = [summary.as_json() for summary in summaries]
        console.print_json(data if all_ else data[0])
    every_run_scored = all(record.scored for summary in summaries for record in summary.runs or ())
    raise typer.Exit(0 if every_run_scored and any(summary.best for summary in summaries) else 1)


def _check_split(card: Card, split: str) -> None:
    """Raise `UsageError` if the name is not one split; the message suggests splits with a validation part."""
    from cfbench.errors import UnknownNameError, UsageError

    if split.partition("@")[0] in card.split_names:
        return
    advice = "tuning needs one split with a validation part"
    usable = [name for name in card.split_names if getattr(card.split(name), "valid", 0)]
    try:
        card.expand_split(split)
    except UnknownNameError:
        raise UnknownNameError("split", split, usable, advice=advice) from None
    raise UsageError(f"--split {split} names several folds, but {advice}; choose one, such as --split {usable[0]}")
