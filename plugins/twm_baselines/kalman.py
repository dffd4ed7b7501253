"""The baseline `kalman`: filtered motion, rolled forward with its noise.

The filter (`filter`) runs over the observed positions of each agent by itself. From the state s ~ N(m, P) at the last observed step,

    positions at step h ~ N((F^h m)[0], (F^h P F^h' + sum of process noise)[0, 0] + r^2)      for each coordinate

which is the density that is given. Futures are paths drawn from the same distribution: a first state, a process noise at each step, and
the error of measuring it, since what is scored was measured too. Noise is drawn along and across the heading of each agent, so that
turning the world turns the futures. The heading stays the last observed one. No smoothing: nothing is read after the last observed step.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from twm_baselines.config import KalmanConfig
from twm_baselines.filter import Filtered, Noises, process_noise, run_filter, transition
from twm_baselines.likelihood import fit_noises, training_tracks
from twm_baselines.observed import columns, motion, observe
from twm_core.data.dataset import Batch, Windows
from twm_core.errors import UsageError
from twm_core.evaluation.forecast import Forecast
from twm_core.evaluation.interfaces import Forecaster
from twm_core.specs import BaselineSpecs, ForecastSpec, ObservationSpec


class Kalman(Forecaster):
    """Filters and forecasts.

    Attributes:
        noises: What was given or fitted; None before `fit` where something has to be.
    """

    def __init__(self, *, config: KalmanConfig, obs_spec: ObservationSpec, gives: ForecastSpec) -> None:
        self.config = config
        self.obs_spec = obs_spec
        self.gives = gives
        self.noises: Noises | None = None
        if config.process is not None and config.measurement is not None and config.speed is not None:
            self.noises = Noises(config.process, config.measurement, config.speed, config.acceleration)

    def fit(self, windows: Windows) -> None:
        """Fit what is not given to training windows, by maximum likelihood.

        Raises:
            DataError: No agent is seen twice.
        """
        if self.noises is not None:
            return
        c = self.config
        position, known, dt = training_tracks(windows, self.obs_spec, most_windows=c.fit_windows, most_tracks=c.fit_tracks)
        self.noises = fit_noises(
            position,
            known,
            dt,
            model=c.model,
            process=c.process,
            measurement=c.measurement,
            speed=c.speed,
            acceleration=c.acceleration,
        )

    def forecast(self, observed: Batch, *, steps: int, samples: int, generator: torch.Generator) -> Forecast:
        if self.noises is None:
            raise UsageError(
                "baseline kalman has learned no noises yet",
                "call fit with training windows first, or set process, measurement and speed",
            )
        found = observe(observed)
        size, _, agents = found.exists.shape
        position = torch.stack(columns(found.state, self.obs_spec, ("x", "y")), dim=-1).transpose(1, 2).flatten(0, 1)  # N T 2
        dt = found.dt.double()[:, None].expand(-1, agents).flatten()
        # Measured from where each agent was last seen, so that far from the origin nothing is lost.
        origin = torch.stack(columns(found.last, self.obs_spec, ("x", "y")), dim=-1).flatten(0, 1).double()  # N 2
        state = run_filter(position - origin[:, None], found.exists.transpose(1, 2).flatten(0, 1), dt, self.noises, self.config.model)
        mean, variance = self._ahead(state, dt, steps)  # N H n 2, N H
        _, _, heading, _, _ = motion(found, self.obs_spec)
        paths = self._paths(state, dt, heading[:, 0].flatten(), steps, samples, generator)  # N S H 2 2
        paths[..., 0, :] += origin[:, None, None]
        paths = paths.unflatten(0, (size, agents)).permute(0, 2, 3, 1, 4, 5).float()  # B S H A 2 2
        turned = heading[:, None].expand(size, samples, steps, agents)
        states = torch.stack([*paths[..., 0, :].unbind(-1), turned, *paths[..., 1, :].unbind(-1)], dim=-1)
        expected = (mean[:, :, 0] + origin[:, None]).unflatten(0, (size, agents)).transpose(1, 2)  # B H A 2
        spread = variance.unflatten(0, (size, agents)).transpose(1, 2)  # B H A

        def log_density(at: Tensor) -> Tensor:
            off = (at.double() - expected).square().sum(dim=-1)
            return (-off / (2 * spread) - torch.log(2 * math.pi * spread)).to(at.dtype)

        return Forecast(states=states, expected=expected.float(), log_density=log_density)

    def _ahead(self, state: Filtered, dt: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        """Means `[N,H,n,2]`, and variances of a measured coordinate, `[N,H]`."""
        noises, model = self._known(), self.config.model
        move, noise = transition(dt, model), noises.process * process_noise(dt, model)
        mean, covariance = state.mean, state.covariance
        means: list[Tensor] = []
        variances: list[Tensor] = []
        for _ in range(steps):
            mean, covariance = move @ mean, move @ covariance @ move.mT + noise
            means.append(mean)
            variances.append(covariance[:, 0, 0] + noises.measurement**2)
        return torch.stack(means, dim=1), torch.stack(variances, dim=1)

    def _paths(self, state: Filtered, dt: Tensor, heading: Tensor, steps: int, samples: int, generator: torch.Generator) -> Tensor:
        """Positions and velocities of drawn futures, `[N,S,H,2,2]`: what, then coordinate."""
        noises, model = self._known(), self.config.model
        move = transition(dt, model)[:, None]
        shake = math.sqrt(noises.process) * torch.linalg.cholesky(process_noise(dt, model))[:, None]
        tracks, n, _ = state.mean.shape
        cos, sin = heading.double().cos(), heading.double().sin()

        def draw(*rows: int) -> Tensor:
            """Noise `[N,S,...,2]` along and across the heading, in the world's axes."""
            drawn = torch.randn((tracks, samples, *rows, 2), generator=generator, device=generator.device, dtype=torch.float64)
            along, across = drawn.to(heading.device).unbind(-1)
            c, s = (v.reshape(tracks, 1, *(1,) * len(rows)) for v in (cos, sin))
            return torch.stack([along * c - across * s, along * s + across * c], dim=-1)

        at = state.mean[:, None] + torch.linalg.cholesky(state.covariance)[:, None] @ draw(n)
        path = []
        for _ in range(steps):
            at = move @ at + shake @ draw(n)
            path.append(torch.stack([at[:, :, 0] + noises.measurement * draw(), at[:, :, 1]], dim=-2))
        return torch.stack(path, dim=2)

    def _known(self) -> Noises:
        assert self.noises is not None
        return self.noises


def build(config: KalmanConfig, specs: BaselineSpecs) -> Kalman:
    """The baseline `kalman`."""
    return Kalman(config=config, obs_spec=specs.obs_spec, gives=config.gives(specs.obs_spec))
