"""How the tokens of several encoders become one embedding: the table `fusion` of a recipe. Torch-free.

    concat            side by side on their width
    add               summed; the widths must be equal
    cross-attention   the tokens of the first encoder that gives such tokens attend to those of the others

Scene tokens are joined with scene tokens and agent tokens with agent tokens. In cross-attention a token may attend to what the other
encoders say of the same agent and of the scene, so that a map's scene token can inform every agent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from twm_core.config import ComponentConfig
from twm_core.errors import Mismatch
from twm_core.specs import EmbeddingSpec

PARTS: tuple[Literal["scene", "agents"], ...] = ("scene", "agents")


class FusionConfig(ComponentConfig):
    """Fields of the table `fusion`. It does nothing where there is one encoder only."""

    mode: Literal["concat", "add", "cross-attention"] = Field("concat", description="How tokens of several encoders are joined.")
    heads: int = Field(4, ge=1, description="Heads of the cross-attention; divides the width of the first encoder's tokens.")

    def embedding(self, given: Sequence[EmbeddingSpec]) -> EmbeddingSpec:
        """What the encoders give together.

        Raises:
            Mismatch: `add` of different widths, or a width that the heads do not divide.
        """
        widths = {p: [w for e in given if (w := getattr(e, p)) is not None] for p in PARTS}
        if len(given) > 1:
            for part, found in widths.items():
                if self.mode == "add" and len(set(found)) > 1:
                    raise Mismatch(
                        needs=f"{part} tokens of equal width for fusion 'add'",
                        got=f"widths {', '.join(map(str, found))}",
                        remedy="give the encoders the same width, or set fusion.mode to 'concat'",
                    )
                if self.mode == "cross-attention" and found and found[0] % self.heads:
                    raise Mismatch(
                        needs=f"{part} tokens whose width is a multiple of fusion.heads = {self.heads}",
                        got=f"width {found[0]}",
                        remedy="set fusion.heads to 1",
                    )
        joined = {p: (sum(found) if self.mode == "concat" else found[0]) if found else None for p, found in widths.items()}
        return EmbeddingSpec(**joined)
