"""Pages of text on the board: what the other commands print, as wide as the window."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, TypeAlias

from rich.segment import Segment
from rich.text import Text
from textual.containers import VerticalScroll
from textual.filter import LineFilter
from textual.widgets import Static

from cfbench.cli.plain import PlainConsole
from cfbench.report.plain_text import CONTROL, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import RenderableType
    from textual.app import ComposeResult
    from textual.color import Color
    from textual.events import Resize

PageBuilder: TypeAlias = "Callable[[int], Sequence[RenderableType]]"
"""Returns the parts of a page for a width."""


class PlainFilter(LineFilter):
    """The last gate before the terminal: a control character of any text is shown as a visible one."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002 (Textual passes it)
        """Return the segments without control characters."""
        return [
            segment._replace(text=plain(segment.text)) if CONTROL.search(segment.text) else segment
            for segment in segments
        ]


def as_text(parts: Sequence[RenderableType], width: int) -> Text:
    """Return the parts as a console of this width prints them: markup in a text is only text."""
    console = PlainConsole(file=StringIO(), width=max(width, 1))
    text = Text(no_wrap=True, end="")
    for part in parts:
        for segment in console.render(part, console.options):
            if not segment.control:
                text.append(segment.text, segment.style)
    return text


class PageView(VerticalScroll):
    """A page that can be scrolled, and is built again for each width."""

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002 (Textual's name)
        super().__init__(id=id)
        self._build: PageBuilder | None = None

    def compose(self) -> ComposeResult:
        """Compose the text."""
        yield Static()

    def show(self, build: PageBuilder) -> None:
        """Show another page."""
        self._build = build
        self._draw()

    def on_resize(self, event: Resize) -> None:  # noqa: ARG002 (Textual passes it)
        """Draw the page in the new width."""
        self._draw()

    def _draw(self) -> None:
        width = self.scrollable_content_region.width
        if self._build is not None and width > 0:
            self.query_one(Static).update(as_text(self._build(width), width))
