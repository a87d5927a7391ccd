"""The documentation site, which `make docs` builds with Sphinx: pages in Markdown, and a reference from the code."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import typer
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from typer.cli import get_docs_for_click

from cfbench.cli.app import COMMANDS, load_command
from cfbench.cli.run.command import build_command
from cfbench.runs import registry
from cfbench.runs.record_schema import json_schema
from cfbench.version import __version__

project = "cfbench"
copyright = "The cfbench authors"  # noqa: A001 (Sphinx reads this name)
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]

myst_heading_anchors = 3  # a link may end in #a-heading
highlight_language = "none"  # blocks without a language are command lines
smartquotes = False  # they turn -- into a dash
default_role = "code"  # docstrings write code between single backticks
autodoc_member_order = "bysource"
python_maximum_signature_line_length = 90
autodoc_class_signature = "separated"

html_theme = "furo"
html_title = "cfbench"
html_copy_source = False
html_theme_options = {"top_of_page_buttons": []}


class CommandReference(SphinxDirective):
    """The help of every command, as pages of one document: a new command appears by itself."""

    def run(self) -> list[nodes.Node]:
        """Return the sections of all commands."""
        text = "\n".join(map(markdown, commands()))
        return self.parse_text_to_nodes(text, allow_section_headings=True)


class ModelTable(SphinxDirective):
    """The plugins with their papers, as a table: a new plugin appears by itself."""

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        rows = ["| model | what it is | paper | GPU |", "|---|---|---|---|"]
        for name in registry.names():
            plugin = registry.load(name)
            link = f"[`{name}`](commands.md#cfbench-run-{name})"
            rows.append(f"| {link} | {plugin.title} | {plugin.paper} | {'yes' if plugin.gpu else ''} |")
        return self.parse_text_to_nodes("\n".join(rows))


def commands() -> Iterator[typer.core.TyperCommand]:
    """Yield every command with its parameters."""
    for name in COMMANDS:
        command = load_command(name)
        if name == "run":  # the command line imports a plugin only to run it
            command.get_command = lambda _, plugin: build_command(plugin)
        yield command
        if name == "datasets":
            yield load_command("datasets rm")


def markdown(command: typer.core.TyperCommand) -> str:
    """Return the help of a command and of the commands in it, with its examples as blocks of code."""
    context = typer.Context(command, info_name=f"cfbench {command.name}")
    text = get_docs_for_click(obj=command, ctx=context, indent=1, call_prefix="cfbench")
    text = re.sub(r"^(Examples?): (?=cfbench)", r"\1:\n  ", text, flags=re.MULTILINE)
    text = re.sub(r"^Examples?:\n(?:  .*\n)+", _block, text, flags=re.MULTILINE)
    text = re.sub(r"\bdocs/(\w+)\.md", r"[docs/\1.md](\1.md)", text)
    return text.replace("\\[", "[")  # Rich writes a bracket this way


def _block(examples: re.Match[str]) -> str:
    heading, *lines = examples[0].splitlines()
    return "\n".join([f"**{heading[:-1]}**:", "", "```", *(line.strip() for line in lines), "```", ""])


def publish_schema(app: Sphinx, exception: Exception | None) -> None:
    """Write the JSON Schema of a record beside the pages."""
    if exception is None:
        schema = json.dumps(json_schema(), indent=1)
        Path(app.outdir, "record.schema.json").write_text(f"{schema}\n", encoding="utf-8")


def setup(app: Sphinx) -> None:
    """Register the directives and the file."""
    app.add_directive("commands", CommandReference)
    app.add_directive("models", ModelTable)
    app.connect("build-finished", publish_schema)
