"""`cfbench predict`: what a stored run's model says of any user and item."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cfbench.cli import console
from cfbench.cli.runs import HERE, DeviceOption, JsonOption, ResultsOption


def predict(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run's id, a part of it, or `last`.")],
    pairs: Annotated[
        list[str] | None, typer.Argument(metavar="[USER,ITEM]...", help="Ids as in the data set.", show_default=False)
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(
            "--file",
            metavar="PATH",
            help="Pairs, one a line, user and item apart by a tab or comma.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="PATH", help="Write CSV there instead.", show_default=False)
    ] = None,
    device: DeviceOption = "auto",
    results: ResultsOption = HERE,
    json: JsonOption = False,
) -> None:
    """Predict ratings with the model of a stored run.

    Examples: cfbench predict last 196,242 186,302; cfbench predict last --file pairs.csv --output predictions.csv
    """
    asked = [_pair(text, f"argument {text!r}") for text in pairs or []] + (_from_file(file) if file else [])
    if not asked:
        raise typer.BadParameter("nothing to predict: give USER,ITEM pairs or --file PATH")
    from cfbench import run as harness
    from cfbench.record import Results

    record, folder = Results(results).find(run)
    model, dataset = harness.reopen(record, folder, device)
    users = dataset.catalogue.user_codes([user for user, _ in asked])
    items = dataset.catalogue.item_codes([item for _, item in asked])
    scores = dataset.ratings.scale.clip(harness.predict(record.request.plugin.name, model, users, items))
    titles = [dataset.catalogue.items["title"][int(code)] or "" for code in items]
    rows = [
        {"user": user, "item": item, "prediction": round(float(score), 4), "title": title}
        for (user, item), score, title in zip(asked, scores, titles, strict=True)
    ]
    if json:
        console.as_json(rows)
    elif output or not console.out().is_terminal:
        _csv(rows, output)
    else:
        _table(rows)


def _pair(text: str, where: str) -> tuple[str, str]:
    user, found, item = text.partition("\t" if "\t" in text else ",")
    if not (found and user.strip() and item.strip()):
        raise typer.BadParameter(f"{where}: expected USER,ITEM, such as 196,242")
    return user.strip(), item.strip()


def _from_file(file: Path) -> list[tuple[str, str]]:
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as fault:
        raise typer.BadParameter(f"cannot read {file}: {fault}") from fault
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if numbered and _pair(numbered[0][1], f"{file}, line 1") == ("user", "item"):
        numbered = numbered[1:]
    return [_pair(line, f"{file}, line {number}: {line!r}") for number, line in numbered]


def _csv(rows: list[dict[str, object]], output: Path | None) -> None:
    import polars as pl

    from cfbench.files import write_atomically

    text = pl.DataFrame(rows).write_csv()
    if output is None:
        typer.echo(text, nl=False)
    else:
        write_atomically(output, text)
        console.say(f"{len(rows)} predictions written to {output}")


def _table(rows: list[dict[str, object]]) -> None:
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for heading in ("user", "item"):
        table.add_column(heading)
    table.add_column("prediction", justify="right")
    table.add_column("title")
    for row in rows:
        table.add_row(*map(str, row.values()))
    console.out().print(table)
