"""The font of a drawing in SVG: its letters are embedded, so that it looks the same wherever it is shown.

Texts stay texts, which can be searched, selected and read aloud. matplotlib ships the font; its licence allows this.
"""

from __future__ import annotations

import base64
import io
import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterable

FAMILY = "DejaVu Sans"
_STYLE = '<style type="text/css">'


def embed_font(drawing: str) -> str:
    """The drawing of matplotlib with a font of the letters that its texts have."""
    root = ET.fromstring(drawing)  # noqa: S314 (matplotlib wrote it)
    letters = {letter for element in root.iter("{http://www.w3.org/2000/svg}text") for letter in _text(element)}
    source = base64.b64encode(_font_of(letters)).decode()
    face = f"@font-face{{font-family:'{FAMILY}';src:url(data:font/woff;base64,{source}) format('woff')}}"
    return re.sub(re.escape(_STYLE), lambda match: match[0] + face, drawing, count=1)


def _text(element: ET.Element) -> str:
    return "".join(element.itertext())


def _font_of(letters: Iterable[str]) -> bytes:
    """The font with these letters alone, as WOFF; equal letters give equal bytes."""
    from fontTools import subset
    from fontTools.ttLib import TTFont
    from matplotlib.font_manager import FontProperties, findfont

    font = TTFont(findfont(FontProperties(family=FAMILY)), recalcTimestamp=False)
    options = subset.Options(flavor="woff", layout_features=["kern"], notdef_outline=True)
    options.drop_tables += ["FFTM"]  # the editor's time stamp, of which fontTools would warn
    subsetter = subset.Subsetter(options)
    subsetter.populate(unicodes=sorted(map(ord, letters)))
    subsetter.subset(font)
    font.flavor = "woff"
    stream = io.BytesIO()
    font.save(stream)
    return stream.getvalue()
