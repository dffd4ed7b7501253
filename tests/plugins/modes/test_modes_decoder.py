"""The forecasting head: constant velocity at zero, frames, and the density of whole futures."""

from __future__ import annotations

import math

import numpy as np
import torch

from twm_core.data.schema import MOTION, traffic_observations
from twm_core.nn.interfaces import Anchor, Embedding, Features
from twm_modes.config import ModesDecoderConfig
from twm_modes.decoder import ModesDecoder
from twm_modes.futures import FutureModes

OBS_SPEC = traffic_observations(features=MOTION, dt=0.5, context=3, horizon=4, protocol="test", lanes=0, sites=0)
WIDTH = 6


def head(modes: int = 3) -> ModesDecoder:
    torch.manual_seed(0)
    config = ModesDecoderConfig(modes=modes, width=16)
    return ModesDecoder(config=config, state=OBS_SPEC.get("agents.state"), inputs=WIDTH, context=3, horizon=4)


def anchor(agents: int = 2) -> Anchor:
    state = torch.zeros(1, agents, len(OBS_SPEC.get("agents.state").features))
    for i, name in enumerate(("x", "y", "heading", "vx", "vy")):
        state[..., OBS_SPEC.get("agents.state").index(name)] = torch.tensor([1.0, 2.0, 0.5, 3.0, -1.0])[i]
    return Anchor(state, torch.ones(1, agents, dtype=torch.bool), torch.tensor([0.5]))


def decoded(module: ModesDecoder, start: Anchor, steps: int = 4) -> FutureModes:
    tokens = Embedding(None, torch.randn(1, start.exists.shape[1], WIDTH, generator=torch.Generator().manual_seed(1)))
    found = module.ahead(tokens, Features(None, None), start, steps)["agents.futures"]
    assert isinstance(found, FutureModes)
    return found


def test_zeros_are_constant_velocity() -> None:
    module = head()
    torch.nn.init.zeros_(module.steps.weight)
    torch.nn.init.zeros_(module.steps.bias)
    found = decoded(module, anchor())
    t = 0.5 * torch.arange(1, 5)
    for states in (*found.modes[0, 0].unbind(2), found.centre[0, 0]):  # H A 5
        torch.testing.assert_close(states[:, 0, 0], 1 + 3 * t)
        torch.testing.assert_close(states[:, 0, 1], 2 - t)
        torch.testing.assert_close(states[:, 0, 3:], torch.tensor([3.0, -1.0]).expand(4, 2))
        torch.testing.assert_close(states[:, 0, 2], torch.full((4,), math.atan2(-1, 3)))


def test_increments_add_up_in_the_frame_of_the_agent() -> None:
    """Against a NumPy loop over steps and futures."""
    module, start = head(), anchor()
    module.unit.update(torch.tensor([[0.0, 1.0], [0.4, 0.0], [0.2, 3.0]]))
    found = decoded(module, start)
    rows = module.read(torch.randn(1, 2, WIDTH, generator=torch.Generator().manual_seed(1))[0])
    raw = module.steps(module.hidden(rows[:, None] + module.query)).detach().numpy().reshape(2, 4, 4, 2)
    unit, (c, s) = module.unit.std.numpy(), (math.cos(0.5), math.sin(0.5))
    for agent in range(2):
        for k in range(4):
            x, y = 1.0, 2.0
            for h in range(4):
                dx, dy = raw[agent, k, h] * unit
                x, y = x + 3.0 * 0.5 + c * dx - s * dy, y - 1.0 * 0.5 + s * dx + c * dy
                got = found.centre[0, 0, h, agent] if k == 3 else found.modes[0, 0, h, agent, k]
                np.testing.assert_allclose(got[:2].detach().numpy(), [x, y], rtol=1e-4, atol=1e-4)


def test_a_slow_state_keeps_the_last_heading() -> None:
    module, start = head(), anchor()
    torch.nn.init.zeros_(module.steps.weight)
    torch.nn.init.zeros_(module.steps.bias)
    state = start.state.clone()
    state[..., 3:5] = 0.1
    found = decoded(module, start._replace(state=state))
    torch.testing.assert_close(found.modes[..., 2], torch.full_like(found.modes[..., 2], 0.5))


def test_fewer_steps_are_the_first_ones() -> None:
    module = head()
    long, short = decoded(module, anchor()), decoded(module, anchor(), steps=2)
    torch.testing.assert_close(short.modes, long.modes[:, :, :2])
    torch.testing.assert_close(short.centre, long.centre[:, :, :2])


def test_the_unit_is_the_deviation_of_increments_beyond_constant_velocity() -> None:
    """One agent along x at 2 m/s that speeds up by 1 m/s after the observed steps: increments of 0.5 m along, 0 across, for each step."""
    module = head()
    names = [f.name for f in OBS_SPEC.get("agents.state").features]
    state = torch.zeros(2, 7, 1, len(names))
    for row, gain in enumerate((1.0, 3.0)):
        step = torch.tensor([2.0] * 2 + [2.0 + gain] * 4) * 0.5
        state[row, 1:, 0, names.index("x")] = step.cumsum(0)
        state[row, :3, 0, names.index("vx")] = 2.0
    batch = {
        "agents.state": state,
        "agents.exists": torch.ones(2, 7, 1, dtype=torch.bool),
        "dt": torch.full((2,), 0.5),
        "is_first": torch.zeros(2, 7, dtype=torch.bool),
    }
    module.collect_statistics(batch)
    # Increments are 0.5 and 1.5 m in equal numbers: deviation 0.5. Across they never vary: 1, as for every feature that does not.
    torch.testing.assert_close(module.unit.std, torch.tensor([0.5, 1.0]))


def modes(states: torch.Tensor, std: float, logits: list[float]) -> FutureModes:
    """`[K,H,2]` positions of one agent."""
    full = torch.cat([states, torch.zeros(*states.shape[:-1], 3)], dim=-1).permute(1, 0, 2)[None, None, :, None]  # B 1 H A K 5
    shape = full.shape[:-1]
    return FutureModes(full, torch.full(shape, std), torch.tensor(logits).expand(shape), full[..., 0, :])


def test_the_density_is_that_of_a_mixture() -> None:
    """Against torch.distributions."""
    centres = torch.tensor([[[0.0, 0.0]], [[3.0, 1.0]]])
    found = modes(centres, 0.7, [0.3, -0.4])
    at = torch.tensor([1.0, 0.5])
    weights = torch.distributions.Categorical(logits=torch.tensor([0.3, -0.4]))
    parts = torch.distributions.Independent(torch.distributions.Normal(centres[:, 0], 0.7), 1)
    wanted = torch.distributions.MixtureSameFamily(weights, parts).log_prob(at)
    torch.testing.assert_close(found.log_prob(torch.cat([at, torch.zeros(3)])[None, None, None, None]).squeeze(), wanted)


def test_draws_stay_with_their_future_and_come_as_often_as_it_is_probable() -> None:
    paths = torch.stack([torch.zeros(4, 2), torch.full((4, 2), 100.0)])
    found = modes(paths, 0.1, [math.log(0.8), math.log(0.2)])
    source = torch.Generator().manual_seed(0)
    drawn = torch.stack([found.sample(source)[0, 0, :, 0, 0] for _ in range(2000)])  # N H
    far = drawn > 50
    assert bool((far.all(dim=1) | ~far.any(dim=1)).all())
    assert abs(float(far[:, 0].float().mean()) - 0.2) < 4 * math.sqrt(0.2 * 0.8 / 2000)


def test_futures_come_as_a_forecast_wants_them() -> None:
    found = modes(torch.arange(12.0).view(2, 3, 2), 1.0, [0.0, 1.0])
    assert found.states.shape == (1, 2, 3, 1, 5)
    torch.testing.assert_close(found.states[0, 1, :, 0, :2], torch.arange(6.0, 12.0).view(3, 2))
    torch.testing.assert_close(found.logits, torch.tensor([[[0.0], [1.0]]]))
