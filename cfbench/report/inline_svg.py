"""Drawings of matplotlib inside a page: SVG that obeys the page's colours and its content security policy.

The policy allows no `style` attributes, so they become attributes of their own. Colours are replaced by those of the
page, which differ in light and dark. No text from outside passes through matplotlib, which would read `$` as
mathematics and has no glyph for many letters: a drawing gets zeros, and the texts replace them here.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

from cfbench.report.drawing import Palette, drawing_style
from cfbench.report.plain_text import page_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cfbench.report.drawing import Picture

PAGE = Palette("#101112", "#202122", "#303132", "#404142", tuple(f"#51000{number}" for number in range(1, 7)))
"""The colours of a drawing; they stand for those of the page."""
_PAGE_COLOURS = {
    PAGE.ink: "currentColor", PAGE.muted: "var(--muted)", PAGE.rule: "var(--rule)", PAGE.accent: "var(--accent)",
} | {colour: f"var(--series-{number})" for number, colour in enumerate(PAGE.series, 1)}  # fmt: skip
_TEXT, _TIP = "text:", "tip:"
_KEPT = {"d", "x", "y", "transform", "width", "height", "viewBox", "href", "clip-path", "id"}
_FONT = re.compile(r"([\d.]+)px")
_DECIMALS = re.compile(r"-?\d+\.\d+")


def inline(picture: Picture | None, name: str, width: float = 6.6) -> str:
    """A picture of a width in inches as an element of a page; empty without one.

    `name` makes its ids unique in the page. What the legend says, the page says around it.
    """
    if picture is None:
        return ""
    from matplotlib.figure import Figure

    with drawing_style(9, **_page_style()):
        figure = Figure(figsize=(width, picture.height(width)), layout="constrained")
        sketch = PageSketch(figure)
        picture.paint(sketch)
        return sketch.svg(name, picture.label)


@dataclass(frozen=True)
class PageSketch:
    """A figure with the texts and the explanations that its parts get; artists refer to them by their `gid`."""

    figure: Figure
    palette: Palette = PAGE
    texts: list[str] = field(default_factory=list)
    tips: list[str] = field(default_factory=list)

    def text(self, text: str) -> dict[str, Any]:
        """Zeros that need about as much room, and the `gid` of the text that replaces them."""
        self.texts.append(page_text(text))
        return {"text": "0" * len(text), "gid": f"{_TEXT}{len(self.texts) - 1}"}

    def tip(self, text: str) -> str:
        """The `gid` of an artist that shows this text when the pointer rests on it."""
        self.tips.append(page_text(text))
        return f"{_TIP}{len(self.tips) - 1}"

    def legend(self, axes: Any) -> None:
        """Nothing: the page has its own legends."""

    def svg(self, name: str, label: str) -> str:
        """The drawing as an element of a page; `name` makes its ids unique there, `label` says what it shows."""
        stream = io.StringIO()
        self.figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
        drawing = ET.fromstring(stream.getvalue())  # noqa: S314 (matplotlib wrote it)
        _strip_names(drawing)
        self._fill(drawing)
        _rename_ids(drawing, name)
        for element in drawing.iter():
            _adapt(element)
        size = drawing.get("viewBox", "").split()[2:]
        drawing.attrib = {"viewBox": " ".join(["0 0", *size]), "role": "img", "aria-label": page_text(label)} | {
            "stroke-linejoin": "round", "width": size[0], "height": size[1]
        }  # fmt: skip
        return ET.tostring(drawing, encoding="unicode")

    def _fill(self, drawing: ET.Element) -> None:
        """Write the texts and the explanations into the groups of their artists."""
        for element in list(drawing.iter("g")):
            kind, _, number = element.get("id", "").partition(":")
            if f"{kind}:" == _TEXT:
                for text in element.iter("text"):
                    text.text = self.texts[int(number)]
            elif f"{kind}:" == _TIP:
                title = ET.Element("title")
                title.text = self.tips[int(number)]
                element.insert(0, title)


def _strip_names(drawing: ET.Element) -> None:
    """Remove namespaces, which HTML does not write, and what a page does not need."""
    for element in drawing.iter():
        element.tag = re.sub(r"\{.*\}", "", element.tag)
        element.attrib = {re.sub(r"\{.*\}", "", key): value for key, value in element.attrib.items()}
        element.text = element.text if element.text and element.text.strip() else None
        element.tail = None
    for parent in list(drawing.iter()):
        for child in list(parent):
            if child.tag in {"metadata", "style"}:
                parent.remove(child)


def _rename_ids(drawing: ET.Element, name: str) -> None:
    """Give ids that something refers to a name of this drawing, and remove all others."""
    used: dict[str, str] = {}
    for element in drawing.iter():
        for reference in re.findall(r"#([^)\s]+)", f"{element.get('href', '')} {element.get('clip-path', '')}"):
            used.setdefault(reference, f"{name}-{len(used)}")
    for element in drawing.iter():
        identity = element.attrib.pop("id", "")
        if identity in used:
            element.set("id", used[identity])
        if element.get("href"):
            element.set("href", f"#{used[element.attrib['href'][1:]]}")
        if element.get("clip-path"):
            element.set("clip-path", f"url(#{used[element.attrib['clip-path'][5:-1]]})")


def _adapt(element: ET.Element) -> None:
    """Turn the style of an element into attributes with the page's colours, and shorten its numbers."""
    style = dict(part.split(":", 1) for part in element.attrib.pop("style", "").split(";") if ":" in part)
    kept = {key: value for key, value in element.attrib.items() if key in _KEPT}
    element.attrib = {key: _DECIMALS.sub(_round, value) for key, value in kept.items()}
    for name, value in ((key.strip(), value.strip()) for key, value in style.items()):
        if name == "font" and (size := _FONT.search(value)):
            element.set("font-size", size[1])
        elif name in {"font-size", "text-anchor", "opacity"} or name.startswith(("fill", "stroke")):
            element.set(name, _PAGE_COLOURS.get(value, value.removesuffix("px")))
    if element.tag == "text" and "fill" not in element.attrib:
        element.set("fill", "currentColor")


def _round(number: re.Match[str]) -> str:
    return f"{float(number[0]):.2f}".rstrip("0").rstrip(".")


def _page_style() -> dict[str, Any]:
    """The settings of matplotlib for drawings inside a page."""
    return {
        "text.color": PAGE.ink, "axes.edgecolor": PAGE.rule, "axes.labelcolor": PAGE.ink, "xtick.color": PAGE.rule,
        "ytick.color": PAGE.rule, "xtick.labelcolor": PAGE.muted, "ytick.labelcolor": PAGE.muted,
        "grid.color": PAGE.rule, "grid.linewidth": 0.6, "text.parse_math": False, "xtick.labelsize": 9,
        "ytick.labelsize": 9, "axes.labelsize": 9.5,
    }  # fmt: skip
