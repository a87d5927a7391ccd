"""Text from outside without control characters.

Titles, ids, names and messages come from files that anybody may have written. A control character in them could move
the cursor of a terminal, or make a reader see other words than those that are there.
"""

from __future__ import annotations

import re

CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""The control characters C0 (without tab and newline), DEL and C1, and those that reverse the direction of text."""


def plain(text: str) -> str:
    """Return a text with a visible character for each control character: `␛` for the escape character."""
    return CONTROL.sub(lambda match: _picture(match[0]), text)


def _picture(character: str) -> str:
    code = ord(character)
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else "\ufffd"


def page_text(text: str) -> str:
    """Return a text as a page may show it: `plain`, and without characters that XML does not have."""
    return re.sub("[\ud800-\udfff\ufffe\uffff]", "\ufffd", plain(text))
