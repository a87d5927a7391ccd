"""A page as one HTML file that needs nothing else: no network, no other file.

Every text is escaped, and control characters become visible ones. The content security policy allows only the style
and the script whose hashes it holds, so that nothing else could run even if a text were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from cfbench.report.drawing import require, require_matplotlib
from cfbench.report.plain_text import page_text
from cfbench.version import __version__

if TYPE_CHECKING:
    from cfbench.report.page import Page

TEMPLATES = files("cfbench.report") / "templates"


def require_libraries() -> None:
    """Raise `UsageError` if a library is not installed that the page needs."""
    require("jinja2", "a report", "cfbench-recsys[report]")
    require_matplotlib()


def render(page: Page, command: str) -> str:
    """The page as HTML; `command` is the command line that writes it. Equal pages give equal texts."""
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, finalize=_finalize, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    style, script = _read("style.css"), _read("script.js")
    return environment.get_template("page.html").render(
        page=page,
        policy=_policy(style, script),
        style=Markup(style),  # noqa: S704 (a file of ours)
        script=Markup(script),  # noqa: S704 (a file of ours)
        svg=Markup,  # of drawings, which `inline_svg` has escaped
        command=command,
        version=__version__,
    )


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _finalize(value: Any) -> Any:
    """The value as the page may show it; markup of ours stays."""
    return page_text(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def _policy(style: str, script: str) -> str:
    """The content security policy of a page with this style and this script."""
    return (
        f"default-src 'none'; style-src {_source(style)}; script-src {_source(script)}; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
