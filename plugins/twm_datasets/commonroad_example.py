"""Writes a small scenario as CommonRoad has them, in the format 2020a: a road of two lanes with a light and a crosswalk, three cars."""

from __future__ import annotations

from collections.abc import Sequence

Points = Sequence[tuple[float, float]]


def example_text() -> str:
    """The file."""
    head = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<commonRoad timeStepSize="0.1" commonRoadVersion="2020a" author="twm" affiliation="twm" source="written by hand"'
        ' benchmarkID="ZAM_Test-1_1_T-1" date="2026-01-01">\n'
        "  <location><geoNameId>-999</geoNameId><gpsLatitude>999</gpsLatitude><gpsLongitude>999</gpsLongitude></location>\n"
        "  <scenarioTags><urban/></scenarioTags>\n"
    )
    lanes = (
        _lanelet(1, [(0, 7), (60, 7)], [(0, 3.5), (60, 3.5)], ("successor", 3), ("adjacentRight", 2), light=True)
        + _lanelet(2, [(0, 3.5), (60, 3.5)], [(0, 0), (60, 0)], ("successor", 4), ("adjacentLeft", 1), light=True)
        + _lanelet(3, [(60, 7), (140, 7)], [(60, 3.5), (140, 3.5)], ("predecessor", 1), ("adjacentRight", 4))
        + _lanelet(4, [(60, 3.5), (140, 3.5)], [(60, 0), (140, 0)], ("predecessor", 2), ("adjacentLeft", 3))
        + _lanelet(5, [(64, -1), (64, 8)], [(68, -1), (68, 8)], kind="crosswalk")
    )
    rules = (
        '  <trafficSign id="90"><trafficSignElement><trafficSignID>274</trafficSignID><additionalValue>13.89</additionalValue>'
        "</trafficSignElement></trafficSign>\n"
        '  <trafficLight id="91"><cycle><cycleElement><duration>15</duration><color>green</color></cycleElement>'
        "<cycleElement><duration>5</duration><color>yellow</color></cycleElement>"
        "<cycleElement><duration>20</duration><color>red</color></cycleElement></cycle></trafficLight>\n"
        '  <staticObstacle id="80"><type>parkedVehicle</type><shape><rectangle><length>4.5</length><width>1.8</width></rectangle></shape>'
        f"{_state('initialState', 0, 20, -2, 0)}</staticObstacle>\n"
    )
    cars = _car(11, 0, 30, 5.0, 1.75, 9.0) + _car(12, 6, 30, 2.0, 5.25, 11.0) + _car(13, 0, 18, 30.0, 1.75, 8.0)
    return f"{head}{lanes}{rules}{cars}</commonRoad>\n"


def _lanelet(name: int, left: Points, right: Points, *links: tuple[str, int], light: bool = False, kind: str = "urban") -> str:
    sides = "".join(
        f"<{side}>" + "".join(f"<point><x>{x}</x><y>{y}</y></point>" for x, y in bound) + f"</{side}>"
        for side, bound in (("leftBound", left), ("rightBound", right))
    )
    refs = "".join(f'<{tag} ref="{to}"' + (' drivingDir="same"/>' if tag.startswith("adjacent") else "/>") for tag, to in links)
    stop = "<stopLine><lineMarking>solid</lineMarking></stopLine>" if light else ""
    rules = ("" if kind == "crosswalk" else '<trafficSignRef ref="90"/>') + ('<trafficLightRef ref="91"/>' if light else "")
    return f'  <lanelet id="{name}">{sides}{refs}{stop}<laneletType>{kind}</laneletType>{rules}</lanelet>\n'


def _state(tag: str, step: int, x: float, y: float, speed: float) -> str:
    return (
        f"<{tag}><position><point><x>{x:.3f}</x><y>{y:.3f}</y></point></position><orientation><exact>0.0</exact></orientation>"
        f"<time><exact>{step}</exact></time><velocity><exact>{speed}</exact></velocity></{tag}>"
    )


def _car(name: int, first: int, last: int, x: float, y: float, speed: float) -> str:
    states = [_state("state" if t > first else "initialState", t, x + 0.1 * speed * (t - first), y, speed) for t in range(first, last + 1)]
    return (
        f'  <dynamicObstacle id="{name}"><type>car</type><shape><rectangle><length>4.5</length><width>1.8</width></rectangle></shape>'
        f"{states[0]}<trajectory>{''.join(states[1:])}</trajectory></dynamicObstacle>\n"
    )
