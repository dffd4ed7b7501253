"""Writes lanelet2 maps and tracks of the INTERACTION dataset, and reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest

Tags = Mapping[str, str]


def osm_text(
    nodes: Mapping[int, tuple[float, float]],
    ways: Mapping[int, tuple[Sequence[int], Tags]],
    relations: Mapping[int, tuple[Sequence[tuple[str, int, str]], Tags]],
) -> str:
    """A map whose nodes have x and y, as `.osm_xy` files have them."""

    def tags(of: Tags) -> str:
        return "".join(f"<tag k='{k}' v='{v}' />" for k, v in of.items())

    text = ["<?xml version='1.0' encoding='UTF-8'?>", "<osm version='0.6' generator='JOSM'>"]
    text += [f"<node id='{i}' visible='true' version='1' x='{x}' y='{y}' />" for i, (x, y) in nodes.items()]
    text += [
        f"<way id='{i}' visible='true' version='1'>{''.join(f'<nd ref=@{n}@ />' for n in refs)}{tags(of)}</way>".replace("@", "'")
        for i, (refs, of) in ways.items()
    ]
    for i, (members, of) in relations.items():
        inside = "".join(f"<member type='{kind}' ref='{ref}' role='{role}' />" for kind, ref, role in members)
        text.append(f"<relation id='{i}' visible='true' version='1'>{inside}{tags(of)}</relation>")
    return "\n".join([*text, "</osm>"])


@pytest.fixture(scope="session")
def osm() -> Callable[..., str]:
    """The writer of maps."""
    return osm_text
