"""Makes the picture of the manual: run `python docs/picture.py` (needs the extras `data`, `sumo` and `viz`).

It does what docs/use/simulate.md says beside the picture: simulates a crossing and draws it. Then it reduces the colours, so that the file
has 70 kB instead of 400. The traffic depends on the version of SUMO.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from PIL import Image

from twm_cli.main import main

PICTURE = Path(__file__).parent / "pictures/crossing.png"
COLOURS = 64


def make(picture: Path) -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as place:
        store, drawn = Path(place) / "crossing.twm", Path(place) / "crossing.png"
        for words in (
            f"data simulate --preset intersection --seconds 30 --out {store}",
            f"data show {store} --from 10 --to 20 --out {drawn}",
        ):
            if main(words.split()):
                raise SystemExit(f"twm {words} failed")
        with Image.open(drawn) as full:
            full.convert("RGB").quantize(COLOURS).save(picture, optimize=True)


if __name__ == "__main__":
    make(PICTURE)
