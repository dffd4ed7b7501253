"""Declares the readers of tables: `drone-csv`, `ngsim`, `levelx` and `columns`."""

from __future__ import annotations

from collections.abc import Sequence

from twm_core import Component, hookimpl


@hookimpl
def twm_components() -> Sequence[Component]:
    """The readers of this plugin."""
    return [
        Component(
            kind="reader",
            name="drone-csv",
            summary="Drone clips as CSV: oriented boxes in pixels, one file per clip, one folder per site.",
            config="twm_tables.config:DroneCsvConfig",
            build="twm_tables.drone_csv:build",
        ),
        Component(
            kind="reader",
            name="ngsim",
            summary="NGSIM trajectories in feet: the combined CSV and the original text files.",
            config="twm_tables.config:NgsimConfig",
            build="twm_tables.ngsim.reader:build",
        ),
        Component(
            kind="reader",
            name="levelx",
            summary="highD, inD, rounD, exiD and uniD: trios of CSV files, with the lanes of highD.",
            config="twm_tables.config:LevelXConfig",
            build="twm_tables.levelx.reader:build",
        ),
        Component(
            kind="reader",
            name="columns",
            summary="Any CSV, text or parquet table, explained by a mapping file in TOML.",
            config="twm_tables.config:ColumnsConfig",
            build="twm_tables.columns.reader:build",
        ),
    ]
