"""`cfbench bench`: how fast a device trains an autoencoder, beside what it could do at most."""

from __future__ import annotations

import statistics
from typing import Annotated, Any

import typer

from cfbench.cli import console
from cfbench.cli.options import DeviceOption, JsonOption
from cfbench.cli.view.numbers import hyper


def bench(
    plugin: Annotated[str, typer.Argument(metavar="PLUGIN", help="An autoencoder: deepae or autorec.")] = "deepae",
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")] = "auto",
    users: Annotated[int, typer.Option("--users", min=256, help="How many made-up users.")] = 4096,
    items: Annotated[int, typer.Option("--items", min=100, help="How many made-up items.")] = 17_768,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Epochs timed; the median counts.")] = 5,
    json: JsonOption = False,
) -> None:
    """Time training and evaluation on made-up ratings of the Netflix Prize's shape.

    The roofline is what dense matrix products and the step rule's memory traffic would take at the speeds measured
    here.

    Examples: cfbench bench; cfbench bench deepae --device cuda --users 65536
    """
    from cfbench.errors import ConfigError
    from cfbench.learning.autoencoder import RowModel
    from cfbench.learning.training import resolve_device
    from cfbench.runs import registry
    from cfbench.runs import speed as measure

    place = resolve_device(device)
    found = registry.load(plugin)
    model = found.build(found.config())
    if not isinstance(model, RowModel):
        raise ConfigError(f"{plugin} is no autoencoder: cfbench bench times deepae and autorec")
    ratings = measure.netflix_shaped(users, items)
    console.say(f"{users:,} users, {items:,} items, {len(ratings):,} made-up ratings; {rounds} rounds after a warm-up")
    rows = []
    for refeed in (0, 1) if "refeed" in found.config.model_fields else (None,):
        flags: dict[str, Any] = {"precision": precision, "orientation": "user"}
        flags |= {} if refeed is None else {"refeed": str(refeed)}
        config = registry.configure(found, {}, flags)[0].for_device(place)
        rows.append(_measure(measure, found.build(config), config, ratings, place, rounds) | {"refeed": refeed})
    if json:
        console.print_json(rows)
        return
    _print(plugin, rows)


def _measure(measure: Any, model: Any, config: Any, ratings: Any, place: str, rounds: int) -> dict[str, Any]:
    """The figures of one config."""
    speed = measure.machine(place, config.precision)
    subject = measure.SpeedTest(model, config, ratings, place)
    subject.train()
    subject.evaluate()
    iteration = statistics.median(subject.train() for _ in range(rounds))
    evaluation = statistics.median(subject.evaluate() for _ in range(rounds))
    products, traffic = subject.roofline(speed)
    return {
        "device": place, "precision": config.precision, "hidden": list(config.hidden), "batch": config.batch_size,
        "flops": speed.flops, "bandwidth": speed.bandwidth, "iteration_seconds": iteration,
        "users_per_second": config.batch_size / iteration, "roofline_products_seconds": products,
        "roofline_steps_seconds": traffic, "share_of_roofline": (products + traffic) / iteration,
        "evaluation_seconds_per_user": evaluation,
    }  # fmt: skip


def _print(plugin: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        layers = hyper(row["hidden"])
        again = "" if row["refeed"] is None else f", refeed {row['refeed']}"
        console.result(f"{plugin} {layers}, batch {row['batch']}{again}, {row['precision']} on {row['device']}")
        console.result(
            f"  measured peak {row['flops'] / 1e9:,.0f} GFLOP/s, copy {row['bandwidth'] / 1e9:,.1f} GB/s\n"
            f"  iteration {row['iteration_seconds'] * 1e3:.1f} ms ({row['users_per_second']:,.0f} users/s), roofline "
            f"{row['roofline_products_seconds'] * 1e3:.1f} ms products + {row['roofline_steps_seconds'] * 1e3:.1f} ms "
            f"steps: {row['share_of_roofline']:.0%} of it reached\n"
            f"  evaluation {row['evaluation_seconds_per_user'] * 1e6:.0f} µs a user"
        )
