"""The best config of a study, saved as a preset in the user's own presets file of the plugin."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import tomlkit
from tomlkit.items import Comment, Table, Whitespace

from cfbench.data import card
from cfbench.files import write_atomically
from cfbench.runs import registry
from cfbench.tuning.study import best_trial, counted_trials, format_count

if TYPE_CHECKING:
    from pathlib import Path

    from optuna.trial import FrozenTrial
    from tomlkit import TOMLDocument

    from cfbench.runs.setup import Setup
    from cfbench.tuning.job import WorkerJob
    from cfbench.tuning.plan import StudyPlan


def preset_name(plan: StudyPlan) -> str:
    """The name of the preset of a study: `DATASET` for the default split, else `DATASET-SPLIT`.

    A preset with the name of a data set is used there by default. A preset that was tuned on another split may have
    seen test ratings of the default split, so the user must name it.
    """
    return plan.dataset if plan.split == card.load(plan.dataset).default_split else f"{plan.dataset}-{plan.split}"


def save_preset(setup: Setup, job: WorkerJob, trials: list[FrozenTrial]) -> Path:
    """Save the values of a config that are not defaults as a preset, and return its file.

    A comment beside the preset's name says how it was found. Other presets and comments in the file stay. Raises
    `WriteError`, and `PluginError` when the existing file cannot be read.
    """
    file, name = registry.user_presets_file(setup.name), preset_name(job.plan)
    values = {key: getattr(setup.config, key) for key, origin in setup.origins.items() if origin != "default"}
    table = tomlkit.table()
    table.comment(_describe(job, trials))
    table.update({key: value for key, value in values.items() if value is not None})  # TOML has no null
    document = _read(setup.name, file, name)
    _put(document, name, table)
    write_atomically(file, tomlkit.dumps(document))
    return file


def _describe(job: WorkerJob, trials: list[FrozenTrial]) -> str:
    best = best_trial(trials)
    found_by = f"study {job.name}, split {job.plan.split}, {format_count(len(counted_trials(trials)))}"
    return f"{found_by}, validation RMSE {best.value:.4f}" if best else found_by


def _read(plugin: str, file: Path, name: str) -> TOMLDocument:
    """The presets file as a document that keeps its comments; a new document when there is no file."""
    if not file.exists():
        document = tomlkit.document()
        document.add(tomlkit.comment(f"Your own presets of {plugin}, written by `cfbench tune`."))
        document.add(tomlkit.comment("They win over the presets that come with the plugin."))
        document.add(tomlkit.nl())
        return document
    registry.read_presets(plugin, file)  # raises PluginError
    text = file.read_text(encoding="utf-8")
    # earlier files say how a preset was found in the line above its name
    text = re.sub(rf'^# study .*\n(?=\["{re.escape(name)}"\])', "", text, flags=re.MULTILINE)
    return tomlkit.parse(text)


def _put(document: TOMLDocument, name: str, table: Table) -> None:
    """Put a preset into the document, at the place of the old preset of this name."""
    old = document.get(name)
    comments = _trailing_comments(old) if isinstance(old, Table) else []
    document[name] = table
    for item in comments:
        table.add(item)


def _trailing_comments(table: Table) -> list[Comment | Whitespace]:
    """The comments below the last value of a preset: TOML assigns to it what people write above the next preset."""
    trailing: list[Comment | Whitespace] = []
    for _, item in table.value.body:
        if isinstance(item, Comment) or (isinstance(item, Whitespace) and trailing):
            trailing.append(item)
        elif not isinstance(item, Whitespace):
            trailing = []  # the comments above a value belong to that value
    return trailing
