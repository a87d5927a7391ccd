"""The layout of one table of a source, as a card describes it, and the formats that have a reader."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

FORMATS = {
    "delimited": "delimited.read",
    "jester": "jester.read",
    "netflix": "netflix.read",
    "netflix-titles": "netflix.read_titles",
}
"""The format's name in a card → its function, as `module.function`. A module is imported when it is first needed."""


class TableLayout(BaseModel):
    """How to read one table of a source; the arguments of a reader."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str = Field("delimited", description="a key of `FORMATS`")
    member: str = Field("", description="the path of the table inside the archive")
    separator: str = Field("", description="the text between fields, such as '::'")
    header: bool = False
    quote: bool = Field(False, description='fields may be in double quotes; "" inside them is one quote (RFC 4180)')
    encoding: Literal["utf-8", "latin-1"] = "utf-8"
    columns: dict[str, int] = Field(
        {}, description="from role (user, item, rating, time; or item, title, year, genres) to field number, from 0"
    )
    genre_separator: str = Field("|", description="the text between the genres of an item, in the column `genres`")
    genre_columns: dict[str, int] = Field(
        {},
        description="in place of `genres`: from genre to the number of the field that is 1 if an item has it, else 0",
    )
    no_genre: str = Field("", description="what stands for a genre where an item has none")
    time: Literal["seconds", "date"] = Field("seconds", description="seconds since 1970; or YYYY-MM-DD, midnight UTC")
    duplicates: Literal["error", "last"] = Field(
        "error", description="if a pair is rated more than once: refuse, or keep the last"
    )
    members: dict[str, str] = Field({}, description="checksums of an archive's members, verified during reading")
    user_prefix: str = Field("", description="text that this source adds before the original user ids")
    max_bytes: int = Field(10_000_000_000, description="refuse a member that unpacks to more")

    @property
    def fields(self) -> dict[str, int]:
        """From role, or `genre NAME`, to field number."""
        return self.columns | {genre_field(name): number for name, number in self.genre_columns.items()}

    @property
    def has_genres(self) -> bool:
        """Whether the table says which genres an item has."""
        return "genres" in self.columns or bool(self.genre_columns)

    @field_validator("format")
    @classmethod
    def _has_a_reader(cls, name: str) -> str:
        if name not in FORMATS:
            raise ValueError(f"no reader for the format {name!r}, expected one of: {', '.join(sorted(FORMATS))}")
        return name

    @model_validator(mode="after")
    def _check(self) -> TableLayout:
        if self.format == "delimited" and not (self.member and self.separator and self.columns):
            raise ValueError("a delimited table needs member, separator and columns")
        if self.quote and len(self.separator) != 1:
            raise ValueError(f"quoted fields need a separator of one character, got {self.separator!r}")
        if "genres" in self.columns and self.genre_columns:
            raise ValueError("genres are either in the column `genres` or in `genre_columns`, not in both")
        return self


def genre_field(name: str) -> str:
    """The name of the field that says whether an item has this genre."""
    return f"genre {name}"
