"""`cfbench check-plugin`: a plugin is tested with the conformance suite."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfbench.cli import completion, console
from cfbench.cli.options import JsonOption
from cfbench.errors import CfbenchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@dataclass(frozen=True)
class CheckResult:
    """The result of one check of a plugin."""

    check: str
    """The rule that was checked, as a sentence whose subject is the plugin."""
    holds: bool | None
    """Whether the plugin follows the rule; None when the rule does not apply to it."""
    reason: str
    """Why the check failed or does not apply; empty when it passed."""
    seconds: float


def check_plugin(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The plugin to check.", autocompletion=completion.plugins)
    ],
    time_limit: Annotated[
        float | None,
        typer.Option(
            "--time-limit",
            min=0.001,
            metavar="SECONDS",
            help="A check that takes longer fails.",
            show_default=False,
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Check that a plugin follows every rule for plugins. The exit status is 1 when a check fails.

    Example: cfbench check-plugin bias
    """
    results = []
    for result in _run_checks(name, time_limit):
        results.append(result)
        if not json:
            print_check(result)
    if json:
        console.print_json([asdict(result) for result in results])
    else:
        console.result(f"{name}: {_summary(results)}")
    if any(result.holds is False for result in results):
        raise typer.Exit(1)


def _run_checks(name: str, seconds: float | None) -> Iterator[CheckResult]:
    """Run the checks one after another and yield each result at once."""
    from functools import partial

    from cfbench.errors import PluginError
    from cfbench.runs import registry
    from cfbench.testing import CHECKS, check

    plugin = registry.load(name)

    def check_presets(_: Path) -> str:
        presets = registry.presets(name)
        for values in presets.values():
            registry.make_config(plugin, values, {})
        unknown = set(plugin.default_presets.values()) - presets.keys()
        if unknown:
            raise PluginError(f"default_presets names {', '.join(sorted(unknown))}, but there is no such preset")
        return "" if presets else "has no presets"

    yield _run_check("has presets that its hyper-parameters allow", check_presets, seconds)
    for sentence in CHECKS:
        yield _run_check(sentence, partial(check, plugin, sentence), seconds)


def _run_check(sentence: str, function: Callable[[Path], str], seconds: float | None) -> CheckResult:
    """Run a check in an empty folder. It returns "" when it passes, or the reason why it does not apply, or raises."""
    import tempfile

    from cfbench.runs.plugin_calls import describe
    from cfbench.runs.time_limit import TimeLimitError, time_limit

    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            with time_limit(seconds):
                reason = function(Path(folder))
            holds = None if reason else True
        except (AssertionError, CfbenchError, TimeLimitError) as error:
            holds, reason = False, " ".join(str(error).split())
        except Exception as error:  # noqa: BLE001 (a plugin may raise anything, and the report shows it)
            holds, reason = False, describe(error)
    return CheckResult(sentence, holds, reason, round(time.perf_counter() - start, 3))


def _summary(results: list[CheckResult]) -> str:
    counts = {
        "passed": sum(result.holds is True for result in results),
        "not applicable": sum(result.holds is None for result in results),
        "failed": sum(result.holds is False for result in results),
    }
    shown = [f"{count} {word}" for word, count in counts.items() if count]
    seconds = sum(result.seconds for result in results)
    return f"{', '.join(shown)}, in {seconds:.1f} s"


_MARKS = {True: ("✓", "green"), None: ("–", "dim"), False: ("✗", "bold red")}


def print_check(result: CheckResult) -> None:
    """Print a result: a terminal shows the reason on a line below, a pipe gets one line, which suits grep."""
    mark, mark_style = _MARKS[result.holds]
    seconds = f"{result.seconds:.1f} s"
    if not console.out().is_terminal:
        reason = f": {result.reason}" if result.reason else ""
        console.result(f"{mark} {seconds:>7}  {result.check}{reason}")
        return
    from rich.table import Table
    from rich.text import Text

    text = Text(result.check)
    if result.reason:
        text.append(f"\n{result.reason}", "red" if result.holds is False else "dim")
    line = Table.grid(padding=(0, 2, 0, 0))
    for width in (1, 7):
        line.add_column(width=width, justify="right")
    line.add_column(overflow="fold")
    line.add_row(Text(mark, mark_style), seconds, text)
    console.out().print(line)
