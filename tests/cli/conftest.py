"""A complete set of toy components in one file, and `twm` called in this process with that file and no installed plugin."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from data_plugin import READER

from twm_cli.main import main

TOY_PARTS = '''
"""Components for tests of the command line: declarations only, nothing can be built."""
from pathlib import Path
from typing import Literal

from pydantic import Field

from twm_core import (
    Component, DatasetConfig, DecoderConfig, DynamicsConfig, EmbeddingSpec, EncoderConfig, KeySpec, LatentSpec, LossConfig, Mismatch,
    ObservationSpec, OutputKey, OutputSpec, hookimpl,
)

__version__ = "0.7"


class ToyData(DatasetConfig):
    path: Path | None = Field(None, description="Folder of recordings.")
    sites: tuple[str, ...] = Field(("north", "south"), description="Sites, in [any] order.")

    def observations(self):
        return ObservationSpec(keys=(KeySpec(key="agents.state", axes="B T A F", shape=(2,)),), dt=0.1, context=5, horizon=10), None


class Eye(EncoderConfig):
    width: int = Field(32, ge=1, le=512, description="Width of a token.")

    def embedding(self, seen):
        return EmbeddingSpec(agents=self.width)


class Ear(EncoderConfig):
    volume: float = Field(1.0, gt=0, description="Loudness.")

    def embedding(self, seen):
        return EmbeddingSpec(agents=8)


class Leaky(DynamicsConfig):
    hidden: int = Field(256, ge=1, description="Width of the carried state.")
    rate: float = Field(0.5, gt=0, lt=1, description="Share that leaks in a step.")
    mode: Literal["slow", "fast"] = Field("slow", description="How it leaks.")
    trace: bool = Field(False, description="Keep a trace.")

    def latent(self, embedding, action):
        return LatentSpec(layout="agents", width=self.hidden)


class Ring(DynamicsConfig):
    slots: int = Field(4, ge=2, description="Places in the ring.")

    def latent(self, embedding, action):
        return LatentSpec(layout="agents", width=self.slots)


class Voice(DecoderConfig):
    def output(self, latent, seen):
        return OutputSpec(keys=(OutputKey(key="agents.state", distribution="normal"),))


class Square(LossConfig):
    power: float = Field(2.0, ge=0, description="Exponent.")

    def accepts(self, output, latent, seen):
        return None


class Fussy(LossConfig):
    mood: float = Field(1.0, description="Its mood.")

    def accepts(self, output, latent, seen):
        return Mismatch(needs="a stochastic latent", got=latent)


KINDS = {
    "dataset": {"toy-data": "ToyData"}, "encoder": {"eye": "Eye", "ear": "Ear"}, "dynamics": {"leaky": "Leaky", "ring": "Ring"},
    "decoder": {"voice": "Voice"}, "loss": {"square": "Square", "fussy": "Fussy"},
}


@hookimpl
def twm_components():
    return [
        Component(kind=kind, name=name, summary=f"A toy {kind}.", config=f"toy_parts:{config}", build="toy_parts:build")
        for kind, names in KINDS.items() for name, config in names.items()
    ]
'''

TOY_COMMANDS = '''
from twm_core import hookimpl


@hookimpl
def twm_commands():
    return {"greet": "toy_commands:greet", "train": "toy_commands:greet", "lost": "toy_commands:nothing"}


def greet(name: str, loud: bool = False):
    """Say hello."""
    print(f"hello {name}" + "!" * loud)
'''

TOY_RECIPE = """
[dataset]
component = "toy-data"
[encoder]
components = ["eye"]
[dynamics]
component = "leaky"
[decoder]
components = ["voice"]
[loss]
components = ["square"]
"""


@dataclass(frozen=True)
class Outcome:
    """What a call of `twm` ended with."""

    status: int
    out: str
    err: str


@pytest.fixture(scope="session")
def toy_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    # Its name is the plugin module's, which Python imports once: one folder for the whole session.
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy_parts.py").write_text(TOY_PARTS, encoding="utf-8")
    (folder / "toy_commands.py").write_text(TOY_COMMANDS, encoding="utf-8")
    (folder / "toy.toml").write_text(TOY_RECIPE, encoding="utf-8")
    return folder


@pytest.fixture
def twm(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Call `twm` with the installed plugins."""

    def call(*words: str | os.PathLike[str]) -> Outcome:
        capsys.readouterr()
        status = main([str(w) for w in words])
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return call


@pytest.fixture
def bare(twm: Callable[..., Outcome], toy_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Call `twm` with the toy components and the default optimizer only."""
    monkeypatch.setenv("TWM_PLUGINS", "optimizers")

    def call(command: str, *words: str | os.PathLike[str]) -> Outcome:
        return twm(command, "-p", toy_folder / "toy_parts.py", *words)

    return call


@pytest.fixture
def toy(bare: Callable[..., Outcome], toy_folder: Path) -> Callable[..., Outcome]:
    """Call `twm` with the toy components and the recipe that chooses them."""

    def call(command: str, *words: str | os.PathLike[str]) -> Outcome:
        return bare(command, "-c", toy_folder / "toy.toml", *words)

    return call


@pytest.fixture(scope="session")
def lines_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The plugin file of `data_plugin.READER`."""
    file = tmp_path_factory.mktemp("lines") / "data_lines.py"
    file.write_text(READER, encoding="utf-8")
    return file


@pytest.fixture
def data(twm: Callable[..., Outcome], lines_plugin: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Call a command of `twm data` with the reader `lines` and the renderers only."""
    monkeypatch.setenv("TWM_PLUGINS", "pictures")

    def call(command: str, *words: str | os.PathLike[str]) -> Outcome:
        return twm("data", command, "-p", lines_plugin, *words)

    return call
