"""Text from outside as a terminal may show it.

Titles, ids, names and messages come from files that anybody may have written. A control character in them could move
the cursor, change the colours or the title of the window, or hide text. Every text leaves through a `PlainConsole`,
through `console.print_json` or through `console.document`, which neutralise these characters.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.segment import Segment

from cfbench.report.plain_text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable

    from rich.console import ConsoleOptions, RenderableType
    from rich.text import Text


def plain_help(text: str) -> str:
    """Return a text of a plugin for a help page, which Typer would read as Rich markup."""
    from rich.markup import escape

    return escape(plain(text))


class PlainConsole(Console):
    """A console that shows text as it is: no markup, no names of emoji, no control characters."""

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Convert a text to Rich's, before it is measured for a table."""
        return super().render_str(plain(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Yield the segments of anything printed; only Rich's own ones control the terminal."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=plain(segment.text))


class MessageConsole(PlainConsole):
    """The console of standard error. A message that cannot be written is lost, and the work goes on."""

    def __init__(self) -> None:
        super().__init__(stderr=True)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print a message if that is possible."""
        with suppress(OSError):
            super().print(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Print nothing more. (Rich would end the process.)"""
        self.quiet = True
