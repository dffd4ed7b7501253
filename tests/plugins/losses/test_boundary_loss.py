"""The boundary loss against plain loops, and its field of distances against brute force."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from twm_core import LossSpecs, ObservationSpec
from twm_core.data.schema import RASTER_CHANNELS, traffic_observations
from twm_core.nn.interfaces import Statistical
from twm_core.nn.world_model import LossTerm, WorldModel
from twm_losses.motion.boundary import Boundary, build
from twm_losses.motion.config import BoundaryConfig
from twm_losses.motion.offroad import distance_field, sample

SIZE = 16


def huber(e: float, beta: float) -> float:
    return e * e / (2 * beta) if abs(e) < beta else abs(e) - beta / 2


def mapped(drive: Any) -> ObservationSpec:
    return traffic_observations(features=drive.seen_names, dt=0.1, context=drive.start, horizon=3, protocol="p", raster_size=SIZE)


def on_map(drive: Any, **options: Any) -> Boundary:
    """The loss on a map, with a road through the middle of row 0's raster and a random one for row 1."""
    raster = torch.zeros(2, len(RASTER_CHANNELS), SIZE, SIZE, dtype=torch.uint8)
    raster[0, 0, 7:9] = 255
    raster[1, 0] = 255 * (torch.rand(SIZE, SIZE, generator=torch.Generator().manual_seed(5)) < 0.03)
    drive.batch["map.raster"] = raster
    drive.batch["map.pose"] = torch.tensor([[0.5, -0.3, 0.4, 1.0], [-1.0, 0.2, -2.0, 0.7]])
    return build(BoundaryConfig(**options), LossSpecs(output=drive.specs.output, latent=drive.specs.latent, obs_spec=mapped(drive)))


def positions(drive: Any) -> list[tuple[int, float, float]]:
    """Row, x and y of each prediction that counts."""
    return [(b, drive.guess("x")[b, t, a], drive.guess("y")[b, t, a]) for b, t, a in drive.moved.nonzero().tolist()]


def brute(drivable: Any) -> Any:
    """City-block distance of each pixel to the nearest drivable one."""
    found = np.argwhere(drivable)
    return np.array([[np.abs(found - (r, c)).sum(1).min() for c in range(drivable.shape[1])] for r in range(drivable.shape[0])], float)


@pytest.mark.parametrize("seed", range(4))
def test_the_field_is_the_city_block_distance(seed: int) -> None:
    drivable = torch.rand(3, 9, 13, generator=torch.Generator().manual_seed(seed)) < 0.05
    drivable[:, 4, 6] = True
    expected = np.stack([brute(d) for d in drivable.numpy()])
    np.testing.assert_array_equal(distance_field(drivable).numpy(), expected)


def test_a_raster_without_a_road_says_nothing() -> None:
    assert not distance_field(torch.zeros(1, 4, 5, dtype=torch.bool)).any()


def test_positions_are_found_on_the_raster_by_its_pose() -> None:
    """Pixel (r, c) of a raster of H by W pixels lies (c + 1/2 - W/2, H/2 - r - 1/2) pixels from its centre, turned by its heading."""
    field = torch.arange(20.0).view(1, 4, 5)
    pose = torch.tensor([[3.0, -2.0, 0.7, 0.5]])
    r, c = torch.meshgrid(torch.arange(4.0), torch.arange(5.0), indexing="ij")
    u, v = (c + 0.5 - 2.5) * 0.5, (2 - r - 0.5) * 0.5
    x = 3 + u * math.cos(0.7) - v * math.sin(0.7)
    y = -2 + u * math.sin(0.7) + v * math.cos(0.7)
    found, inside = sample(field, pose, torch.stack([x, y], -1)[None])
    np.testing.assert_allclose(found.numpy(), 0.5 * field.numpy(), rtol=1e-5, atol=1e-5)
    assert inside.all()
    _, inside = sample(field, pose, torch.tensor([[[30.0, 0.0]]]))
    assert not inside.any()


@pytest.mark.parametrize("margin", [0.0, 1.5])
@pytest.mark.parametrize("seed", range(3))
def test_on_a_map_it_equals_a_plain_loop(drives: Any, seed: int, margin: float) -> None:
    drive = drives(seed)
    loss = on_map(drive, margin=margin, beta=2.0)
    fields = [brute(x[0].numpy() > 0) for x in drive.batch["map.raster"]]
    each = []
    for b, x, y in positions(drive):
        px, py, heading, size = drive.batch["map.pose"][b].double().tolist()
        u = ((x - px) * math.cos(heading) + (y - py) * math.sin(heading)) / size
        v = ((y - py) * math.cos(heading) - (x - px) * math.sin(heading)) / size
        if max(abs(u), abs(v)) > SIZE / 2:
            continue  # beyond the raster nothing is known
        column, row = (min(max(z, 0.0), SIZE - 1.0) for z in (u + SIZE / 2 - 0.5, SIZE / 2 - v - 0.5))
        c, r = min(int(column), SIZE - 2), min(int(row), SIZE - 2)
        dc, dr = column - c, row - r
        corner = fields[b][r : r + 2, c : c + 2]
        off = np.array([1 - dr, dr]) @ corner @ np.array([1 - dc, dc]) * size
        each.append(huber(max(0.0, off - margin), 2.0))
    assert len(each) > 5
    np.testing.assert_allclose(loss(drive.outputs(), drive.batch)["prediction"].item(), np.mean(each), rtol=1e-5)


def test_the_gradient_leads_back_to_the_road(drive: Any) -> None:
    loss = on_map(drive, prediction=0.0, futures=1.0, samples=3)
    loss(drive.outputs(), drive.batch)["rollout"].backward()
    x, y = drive.names.index("x"), drive.names.index("y")
    before = loss(drive.outputs(), drive.batch)["rollout"].item()
    gradient = drive.futures.grad
    assert gradient.isfinite().all()
    drive.futures.data -= 0.5 * gradient / gradient.abs().max()
    assert loss(drive.outputs(), drive.batch)["rollout"].item() < before
    others = [i for i in range(5) if i not in (x, y)]
    assert not gradient[..., others].any()
    assert not gradient[~drive.here[:, None].expand(-1, 3, -1, -1)].any()


@pytest.mark.parametrize("box", [(-1.0, 2.0, -3.0, 0.5), None])
@pytest.mark.parametrize("seed", range(3))
def test_outside_a_range_it_equals_a_plain_loop(drives: Any, seed: int, box: Any) -> None:
    drive = drives(seed)
    loss = build(BoundaryConfig(box=box, margin=0.25, beta=0.5, futures=2.0, samples=3), drive.specs)
    loss.collect_statistics(drive.batch)
    if box is None:
        x, y = (drive.true(n)[drive.exists.numpy()] for n in ("x", "y"))
        box = (x.min(), x.max(), y.min(), y.max())
        drive.futures.data *= 2

    def cost(x: float, y: float) -> float:
        return sum(huber(max(0.0, low - p - 0.25, p - high - 0.25), 0.5) for p, low, high in ((x, *box[:2]), (y, *box[2:])))

    terms = loss(drive.outputs(), drive.batch)
    np.testing.assert_allclose(terms["prediction"].item(), np.mean([cost(x, y) for _, x, y in positions(drive)]), rtol=1e-5)
    future = [
        cost(drive.future("x")[b, s, h, a], drive.future("y")[b, s, h, a]) for b, h, a in drive.here.nonzero().tolist() for s in range(3)
    ]
    np.testing.assert_allclose(terms["rollout"].item(), 2 * np.mean(future), rtol=1e-5)
    sum(terms.values()).backward()
    assert drive.decoded.grad.isfinite().all()
    assert not drive.decoded.grad[~drive.moved].any()


def test_the_range_of_the_data_goes_with_the_weights_and_a_given_box_does_not_learn(drives: Any) -> None:
    drive = drives()
    loss = build(BoundaryConfig(), drive.specs)
    assert loss(drive.outputs(), drive.batch)["prediction"].item() == 0  # before any data nothing is outside
    loss.collect_statistics(drives(presence=0.0).batch)
    loss.collect_statistics(drive.batch)
    x = drive.true("x")[drive.exists.numpy()]
    assert loss.state_dict()["low"][0].item() == pytest.approx(x.min())
    assert loss.state_dict()["high"][0].item() == pytest.approx(x.max())
    fixed = build(BoundaryConfig(box=(0, 1, 0, 1)), drive.specs)
    fixed.collect_statistics(drive.batch)
    assert torch.equal(fixed.low, torch.zeros(2))


def test_training_shows_the_data_to_losses(drive: Any) -> None:
    class Nothing(torch.nn.Module, Statistical):
        """Stands where the dynamics would."""

        geometric = False

    config = BoundaryConfig()
    term = LossTerm(config=config, loss=build(config, drive.specs))
    nothing: Any = Nothing()
    parts: dict[str, Any] = {"encoders": {}, "fusion": nothing, "dynamics": nothing, "decoders": {}, "losses": {"boundary": term}}
    model = WorldModel(**parts, obs_spec=drive.specs.obs_spec, action=None, output=drive.specs.output)
    model.collect_statistics(drive.batch)
    assert model.state_dict()["losses.boundary.low"][0].item() == pytest.approx(drive.true("x")[drive.exists.numpy()].min())


@pytest.mark.parametrize("mode", ["range", "map"])
def test_an_empty_scene_costs_nothing_and_trains_nothing(drives: Any, mode: Any) -> None:
    drive = drives(presence=0.0)
    loss = on_map(drive, mode=mode, futures=1.0, box=(0, 1, 0, 1))
    terms = loss(drive.outputs(), drive.batch)
    sum(terms.values()).backward()
    assert {v.item() for v in terms.values()} == {0}
    assert not drive.decoded.grad.any()
    assert not drive.futures.grad.any()


def test_the_map_is_used_where_there_is_one(drive: Any) -> None:
    given = drive.specs
    assert build(BoundaryConfig(), given).pose is None
    assert on_map(drive).pose == [0, 1, 2, 3]
    assert on_map(drive, mode="range").pose is None
    refused = BoundaryConfig(mode="map").accepts(given.output, given.latent, given.obs_spec)
    assert refused is not None
    assert refused.needs == "key 'map.raster'"
    assert refused.remedy == "set loss.boundary.mode to 'range', or dataset.raster to true"
    assert BoundaryConfig(mode="map").accepts(given.output, given.latent, mapped(drive)) is None
    assert BoundaryConfig(mode="range").accepts(given.output, given.latent, given.obs_spec) is None
    refused = BoundaryConfig(futures=1.0).accepts(given.output, given.latent, given.obs_spec.model_copy(update={"horizon": 0}))
    assert refused is not None
    assert refused.remedy == "set loss.boundary.futures to 0"


def test_a_box_without_an_inside_is_refused() -> None:
    with pytest.raises(ValidationError, match="has no inside; give x_min, x_max, y_min, y_max"):
        BoundaryConfig(box=(1, 0, 0, 1))
