"""`cfbench export`: ratings, a split, or the predictions or the model of a run as a file, and runs for trackers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

import typer

from cfbench import advice
from cfbench.cli import completion, console
from cfbench.cli.options import DEFAULT_RESULTS, DatasetOption, ResultsOption, SplitOption

if TYPE_CHECKING:
    from cfbench.data.exporting import Export
    from cfbench.tracking.facts import TrackerName

What: TypeAlias = Literal["split", "predictions", "ratings", "model", "tensorboard", "mlflow"]
PartName: TypeAlias = Literal["train", "valid", "test"]
ModelFormat: TypeAlias = Literal["onnx", "safetensors"]


def export(  # noqa: PLR0913, PLR0917 (every option is a parameter)
    what: Annotated[What, typer.Argument(help="What to export.", show_default=False)],
    runs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[RUN]…",
            help="For predictions and a model: the run's id, a part of its id, or `last`. For a tracker also several.",
            autocompletion=completion.runs,
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            metavar="FILE",
            help="The file to write: .csv or .parquet; for a model .onnx or .safetensors; for TensorBoard a "
            "folder, and for MLflow a database file.",
            show_default=False,
        ),
    ] = None,
    format: Annotated[  # noqa: A002 (the option's name)
        ModelFormat | None,
        typer.Option(
            "--format",
            help="For a model: a network that predicts by itself, or the arrays. By default the file's ending decides.",
            show_default=False,
        ),
    ] = None,
    dataset: DatasetOption = None,
    split: SplitOption = None,
    part: Annotated[
        PartName | None,
        typer.Option(
            "--part",
            help="For a split: only this part, without the column `part`; for predictions: test (default) or valid.",
            show_default=False,
        ),
    ] = None,
    times: Annotated[
        Literal["epoch", "iso"],
        typer.Option("--times", help="Times as seconds since 1970, or as 2005-04-03T00:00:07Z."),
    ] = "epoch",
    titles: Annotated[
        bool, typer.Option("--titles/--no-titles", help="Whether to write the titles of items, where they are known.")
    ] = True,
    results: ResultsOption = DEFAULT_RESULTS,
) -> None:
    """Write ratings, a split, or a run's predictions or model to a file, or runs to TensorBoard or MLflow.

    The columns of ratings are user, item, rating and, where they apply, prediction, part, time, title. Other libraries
    can train on one part and predict another; `cfbench import-predictions` then scores what they predict. A model
    leaves as ONNX, if it is a network, or as safetensors (docs/serving.md).

    TensorBoard and MLflow receive the learning curve, config, scores and record of finished runs; MLflow also all their
    files. Without --out they are the folder tensorboard, and the file mlflow.db or the server that MLFLOW_TRACKING_URI
    names (docs/tracking.md).

    Examples: cfbench export split --part train --out train.csv; cfbench export split --out split.parquet;
    cfbench export predictions last --out predictions.csv; cfbench export ratings --dataset ml-1m --out ratings.parquet;
    cfbench export model last --out model.onnx; cfbench export model last --out model.safetensors;
    cfbench export tensorboard last; cfbench export mlflow last
    """
    from dataclasses import replace

    from cfbench.data.exporting import check_format, write_export

    if what in ("tensorboard", "mlflow"):
        if dataset or split or part or format:
            raise typer.BadParameter("a run has its own data set and split; give only runs and --out")
        _export_runs(what, runs or [], out, results)
        return
    if out is None:
        raise typer.BadParameter(
            "where to? give a file that ends in .onnx or .safetensors, as in --out model.onnx"
            if what == "model"
            else "where to? give a file that ends in .csv or .parquet, as in --out split.csv"
        )
    if what == "model":
        if dataset or split or part:
            raise typer.BadParameter("a run has its own data set and split; leave out --dataset, --split and --part")
        _export_model(_only_run(what, runs), out, format or _format_of(out), results)
        return
    if format is not None:
        raise typer.BadParameter(f"--format is for a model; the ending of {out} chooses the format of {what}")
    check_format(out)
    if what == "predictions":
        chosen = _choose_predictions(_only_run(what, runs), dataset, split, part, results)
    elif runs:
        raise typer.BadParameter(f"{what} takes no run, but {runs[0]!r} is given; leave it out")
    else:
        chosen = _choose_ratings(what, dataset, split, part)
    chosen = replace(chosen, titles=titles, iso_times=times == "iso")
    columns = write_export(chosen, out)
    console.say(f"wrote {chosen.rows:,} ratings to {out}: {', '.join(columns)}")
    if chosen.left_out:
        console.say(f"not in the file: {chosen.left_out:,} ratings that are in no part of the split")


def _only_run(what: What, runs: list[str] | None) -> str | None:
    """Return the one run, None if none is given."""
    if runs and len(runs) > 1:
        raise typer.BadParameter(f"{what} takes one run, but {len(runs)} are given; type one command for each")
    return runs[0] if runs else None


def _export_runs(name: TrackerName, runs: list[str], out: Path | None, results: Path) -> None:
    """Copy runs to a tracker."""
    from cfbench.runs.results import Results
    from cfbench.tracking.tracker import copy_run, open_tracker

    if not runs:
        command = advice.command("export", name, "last", results=results)
        raise typer.BadParameter(f"which runs? name one or several, as in `{command}`")
    tracker = open_tracker(name, None if out is None else str(out))
    found = [Results(results).find(run) for run in runs]
    for record, folder in found:
        copy_run(record, folder, tracker)
        console.say(f"copied run {record.run} to {tracker.place}")


def _choose_ratings(what: What, dataset: str | None, split: str | None, part: PartName | None) -> Export:
    """Return the ratings of a data set, with their parts in a split or without."""
    from cfbench.cli.dataset_choice import dataset_card, open_or_download
    from cfbench.data.exporting import Export
    from cfbench.data.parts import PART_NAMES

    if what == "ratings" and (split or part):
        raise typer.BadParameter("ratings have no --split and no --part; export `split` in place of `ratings`")
    card = dataset_card(dataset)
    data = open_or_download(card)
    if what == "ratings":
        return Export(data.ratings, data.catalogue)
    parts = data.split(split or card.default_split).parts
    return Export(data.ratings, data.catalogue, parts, None if part is None else PART_NAMES.index(part))


def _choose_predictions(
    run: str | None, dataset: str | None, split: str | None, part: PartName | None, results: Path
) -> Export:
    """Return the predictions of a run, beside the ratings they predict."""
    from cfbench.data.exporting import Export
    from cfbench.runs.predicted import read_predicted_part
    from cfbench.runs.results import Results

    if run is None:
        command = advice.command("export", "predictions", "last", "--out", "predictions.csv", results=results)
        raise typer.BadParameter(f"whose predictions? name a run, as in `{command}`")
    if dataset or split or part == "train":
        raise typer.BadParameter("a run has its own data set and split, and predicts the parts test and valid")
    record, folder = Results(results).find(run)
    predicted = read_predicted_part(record, folder, part or "test", results)
    return Export(predicted.ratings, predicted.dataset.catalogue, predictions=predicted.predictions)


def _format_of(out: Path) -> ModelFormat:
    """Return the format of a model by the ending of its file."""
    match out.suffix.lower():
        case ".onnx":
            return "onnx"
        case ".safetensors":
            return "safetensors"
    raise typer.BadParameter(f"{out} must end in .onnx or .safetensors, or give --format onnx or --format safetensors")


def _export_model(run: str | None, out: Path, kind: ModelFormat, results: Path) -> None:
    """Write the model of a run."""
    from cfbench.runs.model_export import describe_model, write_model
    from cfbench.runs.results import Results
    from cfbench.runs.stored_model import load_model

    if run is None:
        command = advice.command("export", "model", "last", "--out", out, results=results)
        raise typer.BadParameter(f"whose model? name a run, as in `{command}`")
    record, _ = Results(results).find(run)
    stored = load_model(record.run, results, "cpu", None)
    write_model(stored.model, describe_model(record, stored.dataset, stored.model), out, kind)
    console.say(f"wrote the model of run {record.run} to {out} ({kind})")
