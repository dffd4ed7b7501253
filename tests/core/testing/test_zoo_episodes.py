"""The checks of datasets also hold for episodes without agents: each wrong specimen is caught by the check that is meant for it."""

from __future__ import annotations

import pytest

from twm_core.component import Component
from twm_core.plugin.discovery import Plugin
from twm_core.plugin.registry import Registered
from twm_core.testing.case import HeavyImports, make_cases
from twm_core.testing.runner import Result, Run

FAULTS = {
    "has terminal steps but no last ones": "episodes_are_marked",
    "forgets ends": "episodes_are_marked",
    "forgets beginnings": "episodes_are_marked",
    "ends without an end": "episodes_are_marked",
    "gives no move": "categorical_actions_are_one_hot",
    "tests on what it trains on": "splits_share_nothing",
}
HEAVY = HeavyImports(["zoo_configs"])


def results(fault: str = "") -> list[Result]:
    plugin = Plugin(name="zoo", distribution="acme-zoo", version="1.0", value="zoo", status="loaded")
    component = Component(
        kind="dataset", name="episodes", summary="One of the zoo.", config="zoo_configs:ZooEpisodes", build="zoo_episodes:build"
    )
    cases = make_cases([Registered(component=component, plugin=plugin)], {"dataset/episodes": [{"fault": fault}]})
    for case in cases:
        case.heavy = HEAVY
    return Run(cases).results()


def test_healthy_episodes_pass_every_check_but_those_of_scenarios() -> None:
    left_out = ["older_layouts_can_be_upgraded", "speeds_fit_the_clock", "future_leaves_inputs_alone"]
    assert [r.check for r in results() if r.status != "passed"] == left_out


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_wrong_episodes_are_caught_by_their_check_and_no_other(fault: str) -> None:
    assert [r.check for r in results(fault) if r.status == "failed"] == [FAULTS[fault]]
