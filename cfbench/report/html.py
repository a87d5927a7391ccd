"""A page as one HTML file that needs nothing else: no network, no other file.

Every text is escaped, and control characters become visible ones. The content security policy allows only the style
and the scripts whose hashes it holds, so that nothing else could run even if a text were not escaped.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from cfbench.libraries import require
from cfbench.report.drawing import require_matplotlib
from cfbench.report.plain_text import page_text
from cfbench.version import __version__

if TYPE_CHECKING:
    from cfbench.report.page import Page

TEMPLATES = files("cfbench.report") / "templates"
STYLE = "style.css"
SCRIPTS = ("script.js",)
LIVE_SCRIPTS = ("script.js", "live.js")
"""The scripts of a page that asks its server for news."""


def require_libraries() -> None:
    """Raise `UsageError` if a library is not installed that the page needs."""
    require("jinja2", "a report", "cfbench-recsys[report]")
    require_matplotlib()


def render(page: Page, command: str, stamp: str = "") -> str:
    """The page as HTML; `command` is the command line that writes it. Equal pages give equal texts.

    A page with a stamp asks the server that it came from for news, and loads itself again once the stamp differs.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FunctionLoader(_read), autoescape=True, undefined=StrictUndefined, finalize=_finalize, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip
    scripts = LIVE_SCRIPTS if stamp else SCRIPTS
    return environment.get_template("page.html").render(
        page=page,
        stamp=stamp,
        policy=page_policy(is_live=bool(stamp)),
        style=Markup(_read(STYLE)),  # noqa: S704 (a file of ours)
        scripts=[Markup(_read(name)) for name in scripts],  # noqa: S704 (files of ours)
        svg=Markup,  # of drawings, which `inline_svg` has escaped
        command=command,
        version=__version__,
    )


def _read(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


def _finalize(value: Any) -> Any:
    """The value as the page may show it; markup of ours stays."""
    return page_text(value) if isinstance(value, str) and not hasattr(value, "__html__") else value


def page_policy(*, is_live: bool = False) -> str:
    """The content security policy of a page: its style and its scripts run, and a live one may ask its server."""
    scripts = " ".join(map(_source, LIVE_SCRIPTS if is_live else SCRIPTS))
    server = "connect-src 'self'; " if is_live else ""
    return (
        f"default-src 'none'; style-src {_source(STYLE)}; script-src {scripts}; {server}"
        "base-uri 'none'; form-action 'none'"
    )


def _source(name: str) -> str:
    """A file of ours, as a policy names it."""
    digest = hashlib.sha256(_read(name).encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
