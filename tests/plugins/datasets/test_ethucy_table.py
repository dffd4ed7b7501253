"""Rows of the published ETH/UCY table that need no learning, through the dataset, the baselines and the metrics of evaluation."""

from __future__ import annotations

import numpy as np
import pytest

from twm_core.baselines import baselines_for
from twm_core.metrics import Displacements
from twm_core.specs import DatasetGiven
from twm_datasets.config import EthUcyConfig
from twm_datasets.ethucy import build

# ADE, FDE in metres over the test folds, convention sgan; the mean is that of the five folds, each counting once. Computed once from the
# same files, independently of this code.
TABLE = {
    "zero_velocity": {
        "eth": (2.843, 4.824),
        "hotel": (1.150, 2.089),
        "univ": (1.359, 2.474),
        "zara1": (2.506, 4.612),
        "zara2": (1.377, 2.532),
        "mean": (1.847, 3.306),
    },
    "constant_velocity": {
        "eth": (0.995, 2.234),
        "hotel": (0.323, 0.617),
        "univ": (0.524, 1.165),
        "zara1": (0.431, 0.960),
        "zara2": (0.326, 0.728),
        "mean": (0.520, 1.141),
    },
}


@pytest.fixture(scope="module")
def errors(recordings):
    """ADE and FDE by baseline and fold."""
    found: dict[str, dict[str, tuple[float, float]]] = {name: {} for name in TABLE}
    for fold in ("eth", "hotel", "univ", "zara1", "zara2"):
        config = EthUcyConfig(path=str(recordings("eth_ucy")), fold=fold, convention="sgan")
        seen, action = config.observations()
        windows = build(config, DatasetGiven(seen=seen, action=action)).windows("test")
        xy = [seen.get("agents.state").index(name) for name in ("x", "y")]
        baselines = baselines_for(seen)
        measured = {name: Displacements() for name in TABLE}
        for begin in range(0, len(windows), 128):
            batch = windows.batch(range(begin, min(len(windows), begin + 128)))
            truth, here = batch["agents.state"][:, 8:, :, xy], batch["agents.exists"][:, 8:]
            for name, errors in measured.items():
                errors.add(baselines[name](batch, seen, 7, 12), truth, here, batch["agents.scored"])
        for name, errors in measured.items():
            summary = errors.summary(seen.dt)
            found[name][fold] = summary["ade"], summary["fde"]
    for folds in found.values():
        ade, fde = np.mean(list(folds.values()), axis=0).tolist()
        folds["mean"] = ade, fde
    return found


@pytest.mark.parametrize("name", TABLE)
def test_a_row_of_the_table_is_met_to_three_decimals(name, errors):
    assert {fold: tuple(round(e, 3) for e in values) for fold, values in errors[name].items()} == TABLE[name]
