"""Small files in the official formats, written by the tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

from twm_core.data.recording import Recording

State = tuple[int, float, float, float, float]
"""Time step, x, y, orientation, velocity."""


def commonroad_text(
    obstacles: Mapping[str, Sequence[State]],
    *,
    version: str = "2018b",
    dt: float = 0.1,
    benchmark: str = "USA_US101-1_1_T-1",
    extra: str = "",
) -> str:
    """A CommonRoad file: two lanes side by side along +x, 3.5 m wide, the left one cut at x = 50 and then turning left; and obstacles.

    Lanelet 1 is y in [0, 3.5], x in [0, 50]; 2 follows it, with the centre line from (50, 1.75) to (51.75, 50); 3 is y in [-3.5, 0],
    x in [0, 100].
    """

    def bound(side: str, points: Sequence[tuple[float, float]]) -> str:
        return f"<{side}>" + "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in points) + f"</{side}>"

    lanes = (
        '<lanelet id="1">'
        + bound("leftBound", [(0, 3.5), (50, 3.5)])
        + bound("rightBound", [(0, 0), (50, 0)])
        + '<successor ref="2"/><adjacentRight ref="3" drivingDir="same"/><speedLimit>13.5</speedLimit></lanelet>'
        + '<lanelet id="2">'
        + bound("leftBound", [(50, 3.5), (50, 50)])
        + bound("rightBound", [(50, 0), (53.5, 50)])
        + '<predecessor ref="1"/></lanelet>'
        + '<lanelet id="3">'
        + bound("leftBound", [(0, 0), (100, 0)])
        + bound("rightBound", [(0, -3.5), (100, -3.5)])
        + '<adjacentLeft ref="1" drivingDir="same"/></lanelet>'
    )

    def state(s: State, tag: str) -> str:
        t, x, y, angle, speed = s
        return (
            f"<{tag}><position><point><x>{x}</x><y>{y}</y></point></position><orientation><exact>{angle}</exact></orientation>"
            f"<time><exact>{t}</exact></time><velocity><exact>{speed}</exact></velocity>"
            f"<acceleration><exact>99</exact></acceleration></{tag}>"
        )

    tag = "dynamicObstacle" if version == "2020a" else "obstacle"
    role = "" if version == "2020a" else "<role>dynamic</role>"
    cars = "".join(
        f'<{tag} id="{name}">{role}<type>car</type><shape><rectangle><length>4.5</length><width>1.8</width></rectangle></shape>'
        + state(states[0], "initialState")
        + f"<trajectory>{''.join(state(s, 'state') for s in states[1:])}</trajectory></{tag}>"
        for name, states in obstacles.items()
    )
    return (
        f'<commonRoad timeStepSize="{dt}" commonRoadVersion="{version}" benchmarkID="{benchmark}">'
        f"{lanes}{cars}{extra}"
        '<planningProblem id="9"><goalState><position><lanelet ref="2"/></position></goalState></planningProblem></commonRoad>'
    )


def driving(steps: int, *, y: float = 1.75, x: float = 0.0, speed: float = 5.0, gain: float = 0.3, first: int = 0) -> list[State]:
    """A car that drives along +x and gains `gain` m/s each second, rounded as in files."""
    states: list[State] = []
    for t in range(steps):
        v = speed + gain * 0.1 * t
        states.append((first + t, round(x, 4), y, 0.0, round(v, 4)))
        x += v * 0.1
    return states


@pytest.fixture(scope="session")
def commonroad() -> Callable[..., str]:
    """`commonroad_text`."""
    return commonroad_text


@pytest.fixture(scope="session")
def drive() -> Callable[..., list[State]]:
    """`driving`."""
    return driving


@pytest.fixture(scope="session")
def recorded() -> Callable[..., Recording]:
    """`stored_traffic.recording`."""
    from stored_traffic import recording

    return recording
