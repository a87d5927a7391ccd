"""`cfbench bench`: how fast a device trains an autoencoder, and how fast it could be at most."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cfbench.cli import console
from cfbench.cli.options import DeviceOption, JsonOption
from cfbench.report.numbers import hyper_parameter

if TYPE_CHECKING:
    from cfbench.contract import Config, Plugin
    from cfbench.learning.autoencoder import RowModel
    from cfbench.runs.speed import SpeedTest


def bench(
    plugin: Annotated[str, typer.Argument(metavar="PLUGIN", help="An autoencoder: deepae or autorec.")] = "deepae",
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option("--precision", help="auto, fp32 or bf16.")] = "auto",
    users: Annotated[int, typer.Option("--users", min=256, help="Number of random users.")] = 4096,
    items: Annotated[int, typer.Option("--items", min=100, help="Number of random items.")] = 17_768,
    rounds: Annotated[int, typer.Option("--rounds", min=1, help="Epochs to time; the median is shown.")] = 5,
    json: JsonOption = False,
) -> None:
    """Time training and evaluation on random ratings of the Netflix Prize's shape.

    The roofline is the time that dense matrix products and the optimizer's memory traffic would take at the speeds
    measured on this device.

    Examples: cfbench bench; cfbench bench deepae --device cuda --users 65536
    """
    from cfbench.runs import registry
    from cfbench.runs.device import choose_device
    from cfbench.runs.speed import SpeedTest, netflix_shaped

    definition = registry.load(plugin)
    _build(definition, definition.config(), plugin)  # refuse another kind of model before its flags
    chosen = choose_device(plugin, definition, definition.config(), device)
    device = chosen.name
    console.say_notes([chosen.note])
    ratings = netflix_shaped(users, items)
    console.say(
        f"{users:,} users, {items:,} items, {len(ratings):,} random ratings; {rounds} rounds after a warm-up round"
    )
    rows = []
    for refeed in (0, 1) if "refeed" in definition.config.model_fields else (None,):
        flags: dict[str, Any] = {"precision": precision, "orientation": "user"}
        if refeed is not None:
            flags["refeed"] = str(refeed)
        config = registry.make_config(definition, {}, flags)[0].for_device(device)
        test = SpeedTest(_build(definition, config, plugin), config, ratings, device)
        rows.append(_measure(test, config, device, rounds) | {"refeed": refeed})
    if json:
        console.print_json(rows)
        return
    _print(plugin, rows)


def _build(definition: Plugin[Any], config: Config, name: str) -> RowModel:
    from cfbench.errors import ConfigError
    from cfbench.learning.autoencoder import RowModel

    model = definition.build(config)
    if not isinstance(model, RowModel):
        raise ConfigError(f"{name} is not an autoencoder; cfbench bench times deepae and autorec")
    return model


def _measure(test: SpeedTest, config: Any, device: str, rounds: int) -> dict[str, Any]:
    """The row of one config."""
    from cfbench.runs.speed import measure_device

    speed = measure_device(device, config.precision)
    test.train()
    test.evaluate()
    iteration = statistics.median(test.train() for _ in range(rounds))
    evaluation = statistics.median(test.evaluate() for _ in range(rounds))
    products, traffic = test.roofline(speed)
    return {
        "device": device, "precision": config.precision, "hidden": list(config.hidden), "batch": test.batch_size,
        "flops": speed.flops, "bandwidth": speed.bandwidth, "iteration_seconds": iteration,
        "users_per_second": test.batch_size / iteration, "roofline_products_seconds": products,
        "roofline_steps_seconds": traffic, "share_of_roofline": (products + traffic) / iteration,
        "evaluation_seconds_per_user": evaluation,
    }  # fmt: skip


def _print(plugin: str, rows: list[dict[str, Any]]) -> None:
    for row in rows:
        refeed = "" if row["refeed"] is None else f", refeed {row['refeed']}"
        console.result(
            f"{plugin} {hyper_parameter(row['hidden'])}, batch {row['batch']}{refeed}, "
            f"{row['precision']} on {row['device']}\n"
            f"  measured peak {row['flops'] / 1e9:,.0f} GFLOP/s, copy {row['bandwidth'] / 1e9:,.1f} GB/s\n"
            f"  iteration {row['iteration_seconds'] * 1e3:.1f} ms ({row['users_per_second']:,.0f} users/s), roofline "
            f"{row['roofline_products_seconds'] * 1e3:.1f} ms products + {row['roofline_steps_seconds'] * 1e3:.1f} ms "
            f"optimizer: {row['share_of_roofline']:.0%} of it reached\n"
            f"  evaluation {row['evaluation_seconds_per_user'] * 1e6:.0f} µs per user"
        )
