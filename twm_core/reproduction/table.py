"""What a table is: its protocol, the parts that it averages over, its rows, and what was promised of them. Torch-free.

[about]                  summary
owner                    distribution whose components bare names mean first; twm in the tables that come with it
protocol                 name of a protocol component
fields                   fields of the protocol other than that of the parts
data                     option that the folder goes to, such as "dataset.path"
[parts]                  field of the protocol and of the dataset, and its values: the folds; the mean over them is unweighted. A table
                         without parts has one, called "all"
seeds                    of the models; a row of a model is the mean over them
[models.NAME]            preset, options by dotted path; seeds, if fewer than all
[[rows]]                 name; a baseline, or a model and where its futures come from
[[bars]]                 a row, a score of its mean, and the most that it may be
"""

from __future__ import annotations

import tomllib
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from twm_core.errors import UsageError
from twm_core.plugin.registry import TWM
from twm_core.suggest import did_you_mean

WHOLE = "all"
"""The only part of a table without parts."""

_PLACE = "twm_core.reproduction"


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class About(_Closed):
    """What the table is about."""

    summary: str


class Parts(_Closed):
    """The parts of a table: values of one field, each a split of its own, over which a row is averaged."""

    field: str = Field(description="Field of the protocol, and of the dataset that models are trained on.")
    values: tuple[str, ...] = Field(min_length=1)


class Model(_Closed):
    """A model that is trained for the table, once for each part and seed."""

    preset: str
    options: dict[str, Any] = {}
    seeds: int | None = Field(None, ge=1, description="Only the first so many seeds of the table.")


class Row(_Closed):
    """One row: a baseline, or a model with a way to forecast."""

    name: str
    baseline: str | None = None
    model: str | None = None
    futures: Literal["auto", "latent", "modes"] = "auto"

    @model_validator(mode="after")
    def _one_of_both(self) -> Row:
        if (self.baseline is None) == (self.model is None):
            raise ValueError(f"row {self.name!r} names a baseline or a model, one of them")
        return self


class Bar(_Closed):
    """What was promised of a row."""

    row: str
    score: str
    most: float


class Table(_Closed):
    """A table; see the module."""

    about: About
    owner: str | None = Field(None, description="Distribution whose components bare names mean first; twm for the tables that it brings.")
    protocol: str
    fields: dict[str, Any] = {}
    data: str = "dataset.path"
    parts: Parts | None = None
    seeds: tuple[int, ...] = (0,)
    shown: tuple[str, ...] = Field(min_length=1, description="Scores that are printed, in order; the file holds all.")
    models: dict[str, Model] = {}
    rows: tuple[Row, ...] = Field(min_length=1)
    bars: tuple[Bar, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the parts."""
        return (WHOLE,) if self.parts is None else self.parts.values

    @model_validator(mode="after")
    def _names_are_known(self) -> Table:
        names = [r.name for r in self.rows]
        if len(set(names)) < len(names):
            raise ValueError("two rows have one name")
        for row in self.rows:
            if row.model is not None and row.model not in self.models:
                raise ValueError(f"row {row.name!r}: there is no model {row.model!r}")
        for bar in self.bars:
            if bar.row not in names:
                raise ValueError(f"bar of {bar.score!r}: there is no row {bar.row!r}")
        return self


def table_names() -> list[str]:
    """The tables that come with twm."""
    return sorted(f.name.removesuffix(".toml") for f in resources.files(_PLACE).iterdir() if f.name.endswith(".toml"))


def load_table(name: str) -> tuple[str, Table]:
    """A table by its name, or from a TOML file.

    Returns:
        Its name, and the table.

    Raises:
        UsageError: There is no such table, or the file is not one.
    """
    path = Path(name)
    if path.suffix == ".toml":
        if not path.is_file():
            raise UsageError(f"there is no file {name}", "give the name of a table or a TOML file")
        text, name = path.read_text(encoding="utf-8"), path.stem
    else:
        if name not in table_names():
            raise UsageError(f"there is no table {name!r}{did_you_mean(name, table_names())}", f"tables are {', '.join(table_names())}")
        text = resources.files(_PLACE).joinpath(f"{name}.toml").read_text(encoding="utf-8")
    owner = {} if path.suffix == ".toml" else {"owner": TWM}
    try:
        return name, Table.model_validate({**tomllib.loads(text), **owner})
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"table {name}: {error}", "correct the TOML file") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UsageError(f"table {name}: {problems}", "see the tables in twm_core/reproduction for the form") from error
