"""The colours of moving pictures: a GIF has one palette of at most 256, shared by all frames so that nothing flickers."""

from __future__ import annotations

from twm_pictures.style import GROUND, LIGHT_COLOURS, MAP_COLOURS, ROAD, TYPE_COLOURS

INK, PALE = (34, 34, 34), (112, 112, 112)
"""Of captions and outlines, and of what is less important."""


def palette_of_frames() -> list[tuple[int, int, int]]:
    """The colours of all frames, each once: those that are used, and what anti-aliasing and trails make of them."""
    ground, road, white = rgb(GROUND), rgb(ROAD), (255, 255, 255)
    found = [ground, road, white, INK, PALE, *(rgb(c) for c in LIGHT_COLOURS.values())]
    found += [mixed(a, b, share) for a, b in ((ground, road), (road, white), (INK, white), (INK, road)) for share in (0.25, 0.5, 0.75)]
    for colour in MAP_COLOURS:
        found += [rgb(colour), mixed(rgb(colour), road, 0.5), mixed(rgb(colour), ground, 0.5)]
    for colour in TYPE_COLOURS.values():
        found += [mixed(rgb(colour), road, share) for share in (0.375, 0.5, 0.625, 0.75, 1.0)]
        found += [mixed(rgb(colour), INK, 0.5), mixed(rgb(colour), white, 0.5), mixed(rgb(colour), ground, 0.3)]
    return list(dict.fromkeys(found))


def rgb(colour: str) -> tuple[int, int, int]:
    """Red, green and blue of `#rrggbb`, 0 to 255."""
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def mixed(a: tuple[int, int, int], b: tuple[int, int, int], share: float) -> tuple[int, int, int]:
    """`share` of a colour in another."""
    r, g, blue = (round(share * p + (1 - share) * q) for p, q in zip(a, b, strict=True))
    return r, g, blue
