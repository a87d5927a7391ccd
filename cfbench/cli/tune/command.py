"""`cfbench tune` and `cfbench studies`: the hyper-parameters that predict the validation ratings best."""

from __future__ import annotations

import re
from typing import Annotated, Any

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import (
    DEFAULT_RESULTS,
    DEFAULT_SPLIT,
    DatasetOption,
    DeviceOption,
    JsonOption,
    ResultsOption,
    StorageOption,
    dataset_name,
    open_or_download,
)
from cfbench.cli.tune import study as tuning

TRIALS = 50
"""How many, where neither a number nor a time is given."""


def _seconds(text: str) -> float:
    """`30m`, `2h`, `1h30m` or `90s` in seconds."""
    parts = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    hours, minutes, seconds = (int(part or 0) for part in parts.groups()) if parts else (0, 0, 0)
    total = 3600 * hours + 60 * minutes + seconds
    if not total:
        raise typer.BadParameter(f"expected a time such as 30m, 2h or 90s, got {text!r}")
    return float(total)


SplitOption = Annotated[
    str,
    typer.Option(
        "--split",
        metavar="NAME",
        help="How the ratings are cut: one split with a validation part; random90@7 is random90 drawn with seed 7.",
        autocompletion=completion.splits,
    ),
]


def tune(  # noqa: PLR0913, PLR0917 (options, each with a name)
    plugin: Annotated[
        str | None,
        typer.Argument(metavar="[PLUGIN]", help="What to tune.", autocompletion=completion.plugins, show_default=False),
    ] = None,
    all_: Annotated[
        bool, typer.Option("--all", help="Every plugin that can be used here, one after the other.")
    ] = False,
    dataset: DatasetOption = None,
    split: SplitOption = DEFAULT_SPLIT,
    trials: Annotated[
        int | None,
        typer.Option(
            "--trials",
            min=1,
            metavar="N",
            show_default=False,
            help=f"How many the study shall have in all; {TRIALS} where no time is given.",
        ),
    ] = None,
    timeout: Annotated[
        Any,
        typer.Option(
            "--timeout",
            "--budget",
            parser=_seconds,
            metavar="TIME",
            show_default=False,
            help="How long the study's trials may take in all: 30m, 2h. A fit under way then is given up, but "
            "for the first.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Trials at a time.")] = 1,
    seed: Annotated[int, typer.Option("--seed", min=0, help="All randomness comes from it.")] = 0,
    study: Annotated[
        str | None,
        typer.Option(
            "--study",
            metavar="NAME",
            show_default=False,
            help="The study to begin or go on with; by default PLUGIN-DATASET-SPLIT.",
        ),
    ] = None,
    storage: StorageOption = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option(
            "--range",
            metavar="NAME=RANGE",
            show_default=False,
            help="Search here instead: lr=1e-4:1e-2:log, refeed=0:2, activation='selu|elu'. Repeatable.",
        ),
    ] = None,
    fixed: Annotated[
        list[str] | None,
        typer.Option("--fix", metavar="NAME=VALUE", show_default=False, help="Leave at this value. Repeatable."),
    ] = None,
    preset: Annotated[
        str | None,
        typer.Option(
            "--preset",
            metavar="NAME",
            show_default=False,
            help="Where to start from; by default the data set's, or the plugin's plain defaults.",
            autocompletion=completion.presets,
        ),
    ] = None,
    no_preset: Annotated[bool, typer.Option("--no-preset", help="Start from the plugin's plain defaults.")] = False,
    device: DeviceOption = "auto",
    save_preset: Annotated[
        bool,
        typer.Option(
            "--save-preset",
            help="Keep the best as your own preset of the data set, which `cfbench run` uses; as DATASET-SPLIT, which "
            f"`--preset` asks for, if tuned on another split than {DEFAULT_SPLIT}.",
        ),
    ] = False,
    then_run: Annotated[bool, typer.Option("--then-run", help="Run the best, score it on the test part.")] = False,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            min=1,
            metavar="K",
            show_default=False,
            help="With --then-run: run it with so many seeds; by default one.",
        ),
    ] = None,
    results: ResultsOption = DEFAULT_RESULTS,
    json: JsonOption = False,
) -> None:
    """Search a plugin's hyper-parameters for the best validation RMSE; the test part is not touched.

    The first trial is the config it starts from. The same command goes on with a study that was interrupted. Exit
    status 1 when no trial finished.

    Examples: cfbench tune deepae --trials 30; cfbench tune deepae --timeout 2h --workers 4 --fix epochs=40
    --range lr=1e-3:1e-1:log; cfbench tune --all --budget 30m --then-run --seeds 3
    """  # fmt: skip
    if all_ == (plugin is not None):
        raise typer.BadParameter("name a plugin, or give --all")
    if all_ and (ranges or fixed or preset):
        raise typer.BadParameter("--all takes no --range, --fix or --preset: plugins differ in their hyper-parameters")
    if seeds is not None and not then_run:
        raise typer.BadParameter("--seeds needs --then-run: it says how often the best is run")
    trials = TRIALS if trials is None and timeout is None else trials
    asked = tuning.Asked(
        dataset, split, trials, timeout, workers, seed, study, storage, ranges or [], fixed or [], preset, no_preset,
        device, save_preset, (seeds or 1) if then_run else 0, results, json,
    )  # fmt: skip
    _check_split(dataset, split)
    open_or_download(dataset)
    told = tuning.tune_all(asked) if all_ else [tuning.tune_one(str(plugin), asked)]
    if json:
        console.print_json(told if all_ else told[0])
    raise typer.Exit(0 if any(each["best"] for each in told) else 1)


def _check_split(dataset: str | None, split: str) -> None:
    """Raise `UsageError` for a split that is not one, and advise none that leaves nothing to tune on."""
    from cfbench.data import card
    from cfbench.errors import UnknownNameError, UsageError

    asked = card.load(dataset_name(dataset))
    if split.partition("@")[0] in asked.split_names:
        return
    wish = "tuning needs one split with a validation part"
    good = [name for name in asked.split_names if getattr(asked.split(name), "valid", 0)]
    try:
        asked.family(split)
    except UnknownNameError:
        raise UnknownNameError("split", split, good, advice=wish) from None
    raise UsageError(f"--split {split} is all its folds, {wish}; choose another, such as {DEFAULT_SPLIT}")
