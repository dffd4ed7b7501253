"""What all subjects share: a config, its specs, and instances built from a fixed seed.

Building and reading draw from torch's global generator at most inside a fork of it, so that a check leaves no trace.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import nn

from twm_core.config import ComponentConfig
from twm_core.plugin.registry import Registered
from twm_core.testing.batches import BATCH, Fed
from twm_core.testing.readings import Readings
from twm_core.testing.tolerance import numbers, parameters


@dataclass(frozen=True)
class Situation:
    """What flows into a component, in words, and the call of its config that accepts or refuses it.

    Attributes:
        title: For messages: `agent tokens, no actions`.
        ask: Calls the config's spec method; returns what `build` will be given, or raises `Mismatch`.
    """

    title: str
    ask: Callable[[Any], Any]


class Subject(ABC):
    """A component in one situation.

    Args:
        registered: The component.
        config: Its config.
        specs: What its `build` receives beside the config.
        title: The options and the situation, for messages.
    """

    def __init__(self, *, registered: Registered, config: ComponentConfig, specs: Any, title: str) -> None:
        self.registered = registered
        self.config = config
        self.specs = specs
        self.title = title

    @property
    def whose(self) -> str:
        """Component, distribution, version, options and situation."""
        return f"{self.registered.whose} [{self.title}]"

    @staticmethod
    @abstractmethod
    def situations() -> Iterator[Situation]:
        """Every situation that the kit tries for this kind."""

    @property
    def handed(self) -> Any:
        """What `build` receives beside the config."""
        return self.specs

    def build(self, seed: int = 0) -> Any:
        """A fresh instance, its initial weights drawn after seeding the global generator with `seed`."""
        build = self.registered.load_build()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return build(self.config, self.handed)

    @cached_property
    def instance(self) -> Any:
        """The instance that all checks share; none of them changes it."""
        built = self.build()
        return built.eval() if isinstance(built, nn.Module) else built

    @property
    def layers(self) -> int:
        """How many tensors of parameters it has: at least as many as products follow one another."""
        return len(parameters(self.instance))

    @abstractmethod
    def use(self) -> None:
        """One typical use of the shared instance, small and without gradients, for the times in reports.

        Raises:
            NotApplicable: Its data or a package that it needs are missing.
        """


class ModuleSubject(Subject):
    """A component that is a network: it is fed tensors and read as named tensors."""

    has_statistics: ClassVar[bool] = True

    @cached_property
    @abstractmethod
    def fed(self) -> Fed:
        """The usual input."""

    @abstractmethod
    def feed(self, *, seed: int = 0, pattern: Any = "ragged") -> Fed:
        """An input of the usual shapes with other numbers or another pattern of existence."""

    @abstractmethod
    def read(self, module: Any, fed: Fed, *, seed: int | None = 7) -> Readings:
        """Everything the module makes of the input; a generator with `seed` is passed where it takes one."""

    @abstractmethod
    def expected(self) -> dict[str, list[int]]:
        """Shapes that the spec promises for the readings of `fed`, by name; readings without a promise are left out."""

    @cached_property
    def summands(self) -> int:
        """How many numbers go into a result at most: the parameters, and the input of one row."""
        return numbers(parameters(self.instance)) + numbers(self.fed.values.values()) // BATCH

    def read_without_data(self, module: Any) -> Readings:
        """What can be read of a module on the device of its parameters, without looking at any value."""
        device = next((str(p.device) for p in module.parameters()), "cpu")
        return self.read(module, self.fed.to(device), seed=None if device == "meta" else 7)

    @property
    def quiet_fed(self) -> Fed:
        """Input for `read_quietly`."""
        return self.fed

    def read_quietly(self, module: Any, fed: Fed) -> Readings:
        """Readings that contain no sampling noise, so that runs of other shapes can be compared."""
        return self.read(module, fed)

    def collect(self, module: Any) -> None:
        """Let the module collect statistics of training data, where it can."""

    def use(self) -> None:
        with torch.no_grad():
            self.read(self.instance, self.fed)

    @cached_property
    def usual(self) -> Readings:
        """What the shared instance makes of the usual input, without gradients."""
        with torch.no_grad():
            return self.read(self.instance, self.fed)
