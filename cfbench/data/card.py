"""The card of a data set: everything cfbench knows about it before the download.

A card is a TOML file in `datasets/`. It says where the data are, with checksums; how to read them; how many users,
items and ratings there are; which splits the authors or papers define; and which scores are published. The card's own
numbers reveal a wrong download.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cfbench import advice
from cfbench.data.sources import Source  # noqa: TC001 (pydantic reads the annotation at run time)
from cfbench.data.split_definitions import (
    DEFAULT_SPLIT,
    OWN_SPLIT,
    STANDARD_SPLITS,
    KFold,
    OwnParts,
    SplitDefinition,
)
from cfbench.errors import CardError, UnknownNameError
from cfbench.files import data_home
from cfbench.folder_exchange import restore_replaced
from cfbench.ratings import Scale  # noqa: TC001 (pydantic reads the annotation at run time)
from cfbench.toml_file import read_toml

SHIPPED_FOLDER = Path(__file__).parents[1] / "datasets"
"""The folder of the cards that cfbench ships."""
NEW_CARD = "_card.toml"
"""The card of a new import, beside its ratings, so that one rename publishes both. No data set can be called that."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Expected(_Frozen):
    """The known numbers of a data set; they reveal a wrong or changed file."""

    users: int | None = None
    items: int | None = None
    ratings: int | None = None
    fingerprint: str = Field("", description="of the coded ratings, the same for every source")


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]*$", description="a part of the paths of runs")]


class Published(_Frozen):
    """A published score; the leaderboard shows it beside measured scores of the same protocol, never among them."""

    protocol: str
    method: str
    rmse: float
    source: str
    note: str = ""


class Card(_Frozen):
    """The card of a data set."""

    name: Name
    version: int = Field(1, ge=1, description="increased when the meaning of the data set changes")
    title: str
    homepage: str
    citation: str
    licence: str = Field(description="one line for tables")
    terms: str = Field(description="the terms of use, shown once before the first download")
    scale: Scale
    expected: Expected = Expected()
    sources: tuple[Source, ...] = ()
    origin: str = Field("", description="for a person's own data set: the file it was imported from")
    splits: dict[Name, SplitDefinition] = {}
    published: tuple[Published, ...] = ()

    def split(self, name: str) -> SplitDefinition:
        """Return the definition of a split; `random90@7` is `random90` with seed 7. Raises `UnknownNameError`."""
        base, at, seed = name.partition("@")
        if base not in self.split_names:
            raise UnknownNameError("split", name, self.split_names, advice=f"data set {self.name}")
        if at and not re.fullmatch("[0-9]{1,18}", seed):
            advice = f"data set {self.name}; a seed is a whole number, as in {base}@7"
            raise UnknownNameError("split", name, self.split_names, advice=advice)
        definition = self.splits.get(base) or STANDARD_SPLITS[base]
        if at and isinstance(definition, OwnParts):
            advice = f"data set {self.name}; {base} is not drawn at random, so it has no seed"
            raise UnknownNameError("split", name, [base], advice=advice)
        return definition.model_copy(update={"seed": int(seed)}) if at else definition

    def canonical_name(self, split: str) -> str:
        """Return the one name of a split: `random90@01` is `random90`, which has seed 1.

        Raises `UnknownNameError`.
        """
        base, seed = split.partition("@")[0], self.split(split).seed
        return base if seed == self.split(base).seed else f"{base}@{seed}"

    def expand_split(self, name: str) -> list[str]:
        """Return the names of the splits that a name means.

        `5fold` means its folds `5fold-1` … `5fold-5`, and `5fold@7` the folds with seed 7. Every other name means one
        split. Raises `UnknownNameError`.
        """
        base, at, seed = name.partition("@")
        first = self.splits.get(f"{base}-1") or STANDARD_SPLITS.get(f"{base}-1")
        if base in self.split_names or not isinstance(first, KFold):
            return [self.canonical_name(name)]
        return [self.canonical_name(f"{base}-{fold}{at}{seed}") for fold in range(1, first.folds + 1)]

    @property
    def default_split(self) -> str:
        """The split that a command uses by default: the person's own, if the data set has one."""
        return OWN_SPLIT if OWN_SPLIT in self.splits else DEFAULT_SPLIT

    @property
    def split_names(self) -> list[str]:
        """The names of all splits of this data set."""
        return [*STANDARD_SPLITS, *(name for name in self.splits if name not in STANDARD_SPLITS)]


def names() -> list[str]:
    """The names of all data sets that have a card, shipped or imported."""
    return sorted(_card_files())


def load(name: str) -> Card:
    """Load the card of a data set; raises `UnknownNameError`, `CardError`."""
    if name not in names():
        raise UnknownNameError("data set", name, names(), advice=f"see `{advice.command('datasets')}`")
    return read(_card_files()[name])


def imported_folder() -> Path:
    """The folder of the cards of imported data sets."""
    return data_home() / "cards"


def shipped_names() -> set[str]:
    """The names of the data sets whose cards cfbench ships."""
    return {path.stem for path in SHIPPED_FOLDER.glob("*.toml")}


def _card_files() -> dict[str, Path]:
    """The path of every card by name; a shipped card wins over an imported one of the same name."""
    new = publish_new_cards()
    imported = {path.stem: path for path in imported_folder().glob("*.toml")}
    return imported | new | {path.stem: path for path in SHIPPED_FOLDER.glob("*.toml")}


def publish_new_cards() -> dict[str, Path]:
    """Move the card of each new import from the folder of its ratings to the folder of cards, where people edit it.

    An import does this at its end, and every reader of cards after an import that was killed. Return the cards that
    cannot be moved.
    """
    datasets, unmoved = data_home() / "datasets", {}
    restore_replaced(datasets)
    for path in datasets.glob(f"*/{NEW_CARD}"):
        try:
            imported_folder().mkdir(parents=True, exist_ok=True)
            path.replace(imported_folder() / f"{path.parent.name}.toml")
        except OSError:
            if path.exists():  # else another process has moved it
                unmoved[path.parent.name] = path
    return unmoved


def read(path: Path) -> Card:
    """Read a card file; raises `CardError` with the file and every wrong field."""
    try:
        card = Card.model_validate(read_toml(path, CardError, expected="a card, a TOML file"))
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, entry['loc']))}: {entry['msg']}" for entry in error.errors())
        raise CardError(f"{path}: {wrong}") from error
    name = path.parent.name if path.name == NEW_CARD else path.stem
    if card.name != name:
        raise CardError(f"{path}: name is {card.name!r}, expected the name of the file, {name!r}")
    return card


def to_toml(card: Card) -> str:
    """The card of an imported data set as TOML; `read` reads it back equal."""
    import tomlkit

    empty = {name for name in ("splits", "published") if not getattr(card, name)}
    return tomlkit.dumps(card.model_dump(mode="json", exclude_none=True, exclude=empty))
