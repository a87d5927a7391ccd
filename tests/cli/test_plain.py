"""Text from outside reaches the terminal without control characters, and markup in it is only text."""

import hashlib
import json
import math
import unicodedata
import zipfile
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
import typer

from cfbench.cli import console
from cfbench.cli.confirmation import confirm_removal
from cfbench.cli.plain import PlainConsole
from cfbench.cli.view.tables import Column, rich_table
from cfbench.contract import Config, Plugin
from cfbench.report.plain_text import CONTROL, plain
from cfbench.runs import registry

ATTACK = "[/nope] [bold]x[/bold] :smile: \x1b]0;owned\x07\x1b[31mred\x9b2J\x7f\u202e"
"""Markup that Rich refuses, markup that it obeys, an emoji, a window title, colours, a cleared screen."""


def rendered(renderable, **options):
    stream = StringIO()
    PlainConsole(file=stream, width=200, **options).print(renderable)
    return stream.getvalue()


def test_plain_text_shows_each_control_character_and_keeps_all_others():
    """Unicode's category of control characters is Cc."""
    text = "".join(map(chr, range(0xD800)))
    shown = plain(text)
    assert {character for character in shown if unicodedata.category(character) == "Cc"} == {"\t", "\n"}
    replaced = {before for before, after in zip(text, shown, strict=True) if before != after}
    assert {unicodedata.category(character) for character in replaced} == {"Cc", "Cf"}
    assert {unicodedata.bidirectional(c) for c in replaced if unicodedata.category(c) == "Cf"} == {
        "LRE", "RLE", "PDF", "LRO", "RLO", "LRI", "RLI", "FSI", "PDI",
    }  # fmt: skip


def test_a_console_prints_markup_and_names_of_emoji_as_they_are():
    assert rendered("[/nope] [bold]x[/bold] :smile:") == "[/nope] [bold]x[/bold] :smile:\n"


def test_on_a_terminal_only_the_console_itself_controls():
    """The heading is bold; the attack in the cells, the heading and the title changes nothing."""
    table = rich_table([Column(ATTACK, [ATTACK, "x"]), Column("b", ["y", ATTACK])])
    table.title = ATTACK
    text = rendered(table, force_terminal=True, color_system="standard")
    assert "\x1b[1m" in text  # bold is Rich's own
    assert not any(part in text for part in ("\x1b[31m", "\x1b]0", "\x07", "\x9b", "\x7f", "\u202e"))
    assert "[/nope] [bold]x[/bold] :smile:" in text


def test_a_table_with_control_characters_stays_aligned():
    lines = rendered(rich_table([Column("a", ["\x1b[31m", "xxxxx"]), Column("b", ["8", "8"])])).splitlines()
    assert len({line.index("8") for line in lines if "8" in line}) == 1


@pytest.fixture
def hostile(empty_terminal):
    """A terminal with a data set whose title, item ids and item titles attack it."""
    archive = empty_terminal.archive
    with zipfile.ZipFile(archive) as file:
        ratings, items = (file.read(f"tiny/{name}.csv").decode() for name in ("ratings", "items"))
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("tiny/ratings.csv", ratings)
        file.writestr("tiny/items.csv", items.replace("Film", ATTACK))
    card = Path("cards/tiny.toml")
    text = card.read_text(encoding="utf-8").replace("Tiny planted ratings", json.dumps(ATTACK)[1:-1])
    for name, value in (
        ("bytes = ", archive.stat().st_size),
        ('checksum = "sha256:', f"{hashlib.sha256(archive.read_bytes()).hexdigest()}"),
    ):
        start = text.index(name) + len(name)
        end = next(place for place in range(start, len(text)) if text[place] in '\n"')
        text = text[:start] + str(value) + text[end:]
    card.write_text(text, encoding="utf-8")
    assert empty_terminal("download tiny --from-file tiny.zip").status == 0
    assert empty_terminal("run bias").status == 0
    return empty_terminal


@pytest.mark.parametrize("line", ["datasets", "datasets tiny", "compare", "show last", "sweep sweep.toml"])
def test_no_command_lets_a_control_character_through(line, hostile):
    Path("sweep.toml").write_text('datasets = ["tiny"]\n[[plugins]]\nname = "mean"\n', encoding="utf-8")
    result = hostile(line)
    assert result.status == 0, result.err
    assert not CONTROL.search(result.out + result.err)


def test_item_titles_on_a_terminal_are_literal_and_in_a_pipe_unchanged(hostile, monkeypatch):
    (row, *_) = json.loads(hostile("recommend last --user u1 -n 1 --json").out)
    assert ATTACK in row["title"]
    assert not CONTROL.search(hostile("recommend last --user u1 -n 1 --json").out)
    assert ATTACK in hostile("recommend last --user u1 -n 1").out
    monkeypatch.setenv("FORCE_COLOR", "1")
    console.out.cache_clear()
    shown = hostile("recommend last --user u1 -n 1").out
    console.out.cache_clear()
    assert plain(ATTACK) in shown
    assert "\x1b[31m" not in shown


def test_a_hand_edited_record_cannot_control_the_terminal(terminal):
    terminal("run bias")
    (file,) = Path("results").glob("*/*/*/*/record.json")
    record = json.loads(file.read_text(encoding="utf-8"))
    record["outcome"]["message"] = record["outcome"]["warning"] = ATTACK
    record["request"]["plugin"]["title"] = record["request"]["preset"] = record["machine"]["processor"] = ATTACK
    file.write_text(json.dumps(record), encoding="utf-8")
    for line in ("show last", "compare", "compare --all-runs", "compare --format md", "diff last last"):
        result = terminal(line)
        assert result.status == 0, result.err
        assert not CONTROL.search(result.out + result.err)
    assert "[/nope] [bold]x[/bold] :smile:" in terminal("show last").out


def test_the_question_before_a_removal_is_plain_text(capsys, monkeypatch):
    answer = StringIO("n\n")
    answer.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", answer)
    with pytest.raises(typer.Exit):
        confirm_removal(ATTACK, yes=False)
    captured = capsys.readouterr()
    assert plain(ATTACK) in captured.out + captured.err
    assert not CONTROL.search(captured.out + captured.err)


class AttackConfig(Config):
    """A hyper-parameter whose description attacks."""

    size: int = 1


AttackConfig.model_fields["size"].description = ATTACK


def test_the_help_of_a_plugin_is_plain_text(empty_terminal, register):
    register("attack", Plugin(ATTACK, ATTACK, AttackConfig, lambda config: config))
    for line in ("run attack --help", "run --help", "plugins", "plugins attack"):
        result = empty_terminal(line)
        assert result.status == 0, result.err
        assert not CONTROL.search(result.out + result.err)
    assert "[/nope] [bold]x[/bold]" in " ".join(empty_terminal("run attack --help").out.split())


def test_the_first_line_of_a_plugins_module_is_plain_text_in_the_help(empty_terminal, register, monkeypatch):
    register("attack", Plugin("x", "x", AttackConfig, lambda config: config))
    place = replace(registry.locate("bias"), name="attack")
    monkeypatch.setattr(registry.PluginLocation, "summary", property(lambda _: ATTACK))
    assert place.summary == ATTACK
    result = empty_terminal("run --help")
    assert result.status == 0, result.err
    assert not CONTROL.search(result.out)
    assert "[/nope]" in result.out


def test_json_has_null_for_numbers_that_it_cannot_hold_and_keeps_control_characters(capsys):
    console.print_json({"a": math.nan, "b": [math.inf, 1.5, (-math.inf,)], "c": {"d": ATTACK}, "e": "é"})
    text = capsys.readouterr().out

    def refuse(constant):
        raise ValueError(constant)

    assert json.loads(text, parse_constant=refuse) == {
        "a": None,
        "b": [None, 1.5, [None]],
        "c": {"d": ATTACK},
        "e": "é",
    }
    assert "é" in text
    assert not CONTROL.search(text)
