"""The protocol at run time: a name, what it fixes, and a hash by which two results are known to be comparable. Torch-free."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from twm_core.kinds.protocol import ProtocolConfig


@dataclass(frozen=True)
class Protocol:
    """What a protocol fixes.

    Attributes:
        name: Name of the component, or of the dataset's own windows.
        dataset: Name of the dataset component.
        options: Fields of the dataset's config that are fixed.
        split: Split that is scored.
        samples: `S`, futures of each window.
        metrics: Fields of the config of each metric that differ from the defaults, by the metric's name.
        baselines: Likewise for baselines.
        may_differ: Fields of `options` in which the training of a checkpoint may differ without having seen what is scored.
        owner: The distribution that declares it, whose component a bare name in it means first; None where no component declares it.
    """

    name: str
    dataset: str
    options: Mapping[str, Any]
    split: str
    samples: int
    metrics: Mapping[str, Mapping[str, Any]]
    baselines: Mapping[str, Mapping[str, Any]]
    may_differ: frozenset[str] = frozenset()
    owner: str | None = None

    @property
    def hash(self) -> str:
        """Sha256 (hex) of everything that decides windows, futures and metrics. Baselines are not in it: more of them change no number."""
        fixed = [self.name, self.dataset, dict(self.options), self.split, self.samples, {k: dict(v) for k, v in self.metrics.items()}]
        return hashlib.sha256(json.dumps(fixed, sort_keys=True).encode()).hexdigest()


def build(config: ProtocolConfig, given: str) -> Protocol:
    """The protocol of a config; `given` is the component's name."""
    dataset, options = config.dataset()
    return Protocol(
        name=given,
        dataset=dataset,
        options=dict(options),
        split=config.split(),
        samples=config.futures(),
        metrics={k: dict(v) for k, v in config.metrics().items()},
        baselines={k: dict(v) for k, v in config.baselines().items()},
        may_differ=frozenset(config.may_differ),
    )
