"""Validation while training: the losses and the forecast errors of a model on some windows, whole batches at a time.

The metrics and the baseline are the components that evaluation uses, with `training.validate_samples` futures. Which futures are drawn
depends on the size of the batch, which `twm eval` avoids; here the same windows come up each time, so that what changes is the model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from twm_core.data.dataset import Windows, to_device
from twm_core.errors import DataError
from twm_core.evaluation import engine
from twm_core.evaluation.result import REFERENCE
from twm_core.evaluation.selection import candidate, choose_baselines, choose_metrics
from twm_core.evaluation.world_model_forecaster import WorldModelForecaster, scores_agents
from twm_core.nn.world_model import WorldModel
from twm_core.plugin.registry import Registry
from twm_core.specs import BaselineSpecs, ObservationSpec

_SEED = 20_011
_METRICS = ("displacement", "existence")
_NAMES = {"ade": "ade", "fde": "fde", "minade": "minade", "minfde": "minfde", "f1": "existence_f1"}
"""Names of scores, and what they are called in the curves after `val.`."""


class Validation:
    """Validates models on the same windows.

    Args:
        registry: Installed components.
        obs_spec: Spec of the windows.
        windows: The validation windows.
        indices: Which of them.
        batch: Windows in a batch.
        device: Where models compute.
        samples: Futures that a forecaster is asked for.
        remedy: The hint for a loss that is no longer a finite number.
    """

    def __init__(
        self,
        registry: Registry,
        obs_spec: ObservationSpec,
        windows: Windows,
        indices: Sequence[int],
        *,
        batch: int,
        device: torch.device,
        samples: int = 6,
        remedy: Callable[[], str] = lambda: "lower training.lr, or check the data",
    ) -> None:
        self.obs_spec, self.windows, self.indices, self.batch, self.device = obs_spec, windows, indices, batch, device
        self.samples, self.remedy = samples, remedy
        self.metrics = choose_metrics(registry, _METRICS, {}) if obs_spec.has("agents.state") else {}
        baselines = choose_baselines(registry, obs_spec, [REFERENCE], {})[0] if obs_spec.has("agents.state") else {}
        self.baselines = {n: (c.whose, c.build(BaselineSpecs(obs_spec=obs_spec))) for n, c in baselines.items()}

    @torch.no_grad()
    def __call__(self, model: WorldModel) -> dict[str, float]:
        """Losses (`val.*`) and, where agents are decoded, forecast errors (`val.ade`, `val.minade`, ...). Deterministic.

        Raises:
            DataError: The loss or a forecast is not a finite number.
        """
        generator = torch.Generator(device=self.device).manual_seed(_SEED)
        sums: dict[str, float] = {}
        for at in range(0, len(self.indices), self.batch):
            part = self.indices[at : at + self.batch]
            total, terms = model.loss(to_device(self.windows.batch(part), self.device), generator=generator)
            for name, value in {"loss": total, **terms}.items():
                sums[name] = sums.get(name, 0.0) + float(value) * len(part) / len(self.indices)
        found = {f"val.{k}": v for k, v in sums.items()}
        if not math.isfinite(found["val.loss"]):
            raise DataError(
                "the loss on the validation windows is not a finite number",
                self.remedy(),
            )
        if scores_agents(model.output) and self.obs_spec.horizon > 0:
            found |= self._errors(model)
        return found

    def _errors(self, model: WorldModel) -> dict[str, float]:
        forecaster = WorldModelForecaster(model)
        candidates = [candidate("model", "the model", forecaster, self.metrics, self.obs_spec, self.samples, model=True)]
        candidates += [candidate(n, whose, who, self.metrics, self.obs_spec, self.samples) for n, (whose, who) in self.baselines.items()]
        scored = engine.run(
            candidates,
            self.windows,
            self.indices,
            obs_spec=self.obs_spec,
            samples=self.samples,
            seed=_SEED,
            device=self.device,
            together=True,
        )
        of = {
            e.name: {k: float(v) for m, metric in e.metrics.items() for k, v in metric.finish(scored.sums[e.name][m].sum(axis=0)).items()}
            for e in candidates
        }
        ours, theirs = of["model"], of.get(REFERENCE, {})
        found = {f"val.{called}": ours[n] for n, called in _NAMES.items() if math.isfinite(ours.get(n, math.nan))}
        if "val.ade" in found and theirs.get("ade", 0.0) > 0:
            found["val.skill"] = 1 - ours["ade"] / theirs["ade"]
        return found
