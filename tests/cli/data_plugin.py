"""A one-file plugin for tests of `twm data`: the reader `lines`, whose format is one row `track step x y` a line, and commands."""

from __future__ import annotations

from pathlib import Path

READER = '''
"""The reader `lines`: one row `track step x y` a line."""
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from twm_core import Component, hookimpl
from twm_core.kinds.reader import ReaderConfig

__version__ = "0.3"


class LinesConfig(ReaderConfig):
    metres: float = Field(1.0, gt=0, le=10, description="Metres to one unit.")
    step_seconds: float = Field(0.1, gt=0, description="Seconds between steps.")
    kind: Literal["car", "pedestrian"] = Field("car", description="What everybody is.")
    strict: bool = Field(True, description="Refuse rows that contradict others.")
    names: dict[str, str] = Field({}, description="Other names of sites.")
    mapping: Path | None = Field(None, description="File that explains the columns.")


@hookimpl
def twm_components():
    return [
        Component(kind="reader", name=name, summary=f"Rows of text ({name}).", config="data_lines:LinesConfig", build="data_lines:build")
        for name in ("lines", "columns")
    ]


@hookimpl
def twm_commands():
    return {"data replay": "data_lines:replay", "data import": "data_lines:replay", "data lost": "data_lines:nothing"}


def replay(name: str, plugin: str = ""):
    """Play it again."""
    print(f"replay {name} {plugin}")


def build(config):
    import numpy as np

    from twm_core.data.importing.reader import Credits, Reader, Skipped, Source
    from twm_core.data.importing.tracks import Rows, make_recording
    from twm_core.errors import DataError
    from twm_core.specs import AGENT_TYPES

    class Lines(Reader):
        credits = Credits("lines", "CC0", "Nobody, 2026.")

        def sources(self, paths):
            files = sorted(f for p in paths for f in (p.rglob("*.lines") if p.is_dir() else [p]))
            if not files:
                raise DataError(f"no .lines files in {paths[0]}", "give a folder that has some")
            return [Source(f.stem, (f,)) for f in files]

        def read(self, source):
            rows, lost = [], 0
            for i, line in enumerate(source.files[0].read_text().splitlines()):
                words = line.split()
                if words[:1] == ["interrupt"] and "LINES_GO_ON" not in os.environ:
                    raise KeyboardInterrupt
                if words[:1] in (["lost"], ["interrupt"]):
                    lost += 1
                    continue
                try:
                    rows.append([float(w) for w in words])
                except ValueError:
                    raise DataError(f"{source.files[0].name}, row {i + 1}: {line!r} is not four numbers", "repair the row") from None
            table = np.array(rows)
            kind = np.full(len(table), AGENT_TYPES.index(config.kind))
            yield make_recording(
                Rows(
                    track=table[:, 0].astype(int), step=table[:, 1].astype(int), type=kind,
                    columns={"x": table[:, 2] * config.metres, "y": table[:, 3] * config.metres},
                ),
                file=source.files[0].name, contradictions="error" if config.strict else "first",
                id=source.name, site=config.site or "yard", group=source.name, dt=config.step_seconds,
            )
            if lost:
                yield Skipped({"rows marked lost": lost})

        def example(self, folder):
            rows = [f"{i} {t} {1.2 * t:.2f} {5 * i + 0.01 * t * t:.2f}" for i in (1, 2) for t in range(5 * i, 40 - 3 * i)]
            (folder / "example.lines").write_text("\\n".join(rows))
            return [folder]

    return Lines()
'''


def write(file: Path, *more: str, seed: int = 0) -> None:
    """Two cars for 40 steps, the second from step 5 to step 34, then more lines."""
    lines = [f"1 {t} {1.2 * t + seed:.2f} {0.01 * t * t:.2f}" for t in range(40)]
    lines += [f"2 {t} {50 - 1.1 * t + seed:.2f} {20 - 0.02 * t * t:.2f}" for t in range(5, 35)]
    file.write_text("\n".join([*lines, *more]) + "\n", encoding="utf-8")
