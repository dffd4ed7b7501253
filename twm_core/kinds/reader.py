"""Kind `reader`: turns the files of a data format into recordings, which the importer stores. Not part of a recipe."""

from __future__ import annotations

from pydantic import Field

from twm_core.config import ComponentConfig
from twm_core.kinds.base import Kind


class ReaderConfig(ComponentConfig):
    """Base of all reader configs.

    A field that is a path has the type `Path` (`Path | None` where it may be left out): a store records such a file by its name and
    content, not by where it lies.
    """

    site: str = Field("", description="Name of the place; what the files say (or their names) where empty.")
    scenario_seconds: float = Field(300.0, ge=0, description="Cut longer recordings into scenarios of so many seconds; 0 never cuts.")
    licence: str = Field("", description="Licence or terms of the data, kept in the store; those usual for the format where empty.")


KIND = Kind(
    name="reader",
    summary="Reads the files of a data format, converts them to SI units and the axes of twm, and hands on recordings to import.",
    config=ReaderConfig,
    interface="twm_core.data.importing.reader:Reader",
    specs="files and folders",
    gives="recordings, which `twm data import` stores",
)
