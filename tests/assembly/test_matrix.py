"""Every encoder x dynamics x layout x decoder on traffic, traffic with actions, and episodes: what `check` accepts trains two steps, what
it refuses says how to mend it.

One test is one row of the matrix (a world, an encoder, a dynamics) with every layout and decoder. Counts of the whole stand at the end.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from functools import cache
from typing import TYPE_CHECKING

import pytest
from matrix_hints import alternatives, both_sides, steps_to_accepted
from matrix_recipes import ROWS, WORLDS, Choice, plan_of, refusal, registry, row

from twm_core.errors import AssemblyError

if TYPE_CHECKING:
    from twm_core.data.dataset import Windows

ACCEPTED, REFUSED = 420, 2982
MENDED_BY = {1: 1926, 2: 948, 3: 108}
"""How many refusals in a row have to be mended: one for each thing that is wrong with a recipe."""


@cache
def windows(world: str) -> Windows:
    """The training windows of a world, made once."""
    from twm_core.nn.build import build_dataset

    choice = next(c for r in ROWS if r[0] == world for c in row(*r) if refusal(c) is None)
    return build_dataset(plan_of(choice)).windows("train")


def accepted_of(world: str, encoder: str, dynamics: str) -> Iterator[Choice]:
    return (c for c in row(world, encoder, dynamics) if refusal(c) is None)


def refused_of(world: str, encoder: str, dynamics: str) -> Iterator[tuple[Choice, AssemblyError]]:
    return ((c, error) for c in row(world, encoder, dynamics) if (error := refusal(c)) is not None)


@pytest.mark.parametrize("key", [r for r in ROWS if any(accepted_of(*r))], ids="-".join)
def test_every_accepted_pairing_trains_two_steps(key: tuple[str, str, str]) -> None:
    import torch

    from twm_core.nn.build import build_world_model

    data = windows(key[0])
    for choice in accepted_of(*key):
        model = build_world_model(plan_of(choice), seed=0)
        # Without weight decay, so that whatever moves was moved by a gradient.
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.0)
        generator = torch.Generator().manual_seed(0)
        model.collect_statistics(data.batch([0, 1]))
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        for k in range(2):
            total, terms = model.loss(data.batch([k, k + 1]), generator=generator, step=k)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            assert torch.isfinite(total), (str(choice), terms)
        moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
        assert all(bool(torch.isfinite(p).all()) for p in model.parameters()), str(choice)
        for part in (
            *(f"encoders.{n}." for n in choice.encoders),
            "dynamics.",
            *(f"decoders.{n}." for n in choice.decoders),
        ):
            assert any(n.startswith(part) for n in moved), f"{choice}: nothing in {part} was trained"


@pytest.mark.parametrize("key", [r for r in ROWS if any(refused_of(*r))], ids="-".join)
def test_every_refusal_names_both_sides_and_an_alternative_that_works(key: tuple[str, str, str]) -> None:
    for choice, error in refused_of(*key):
        kind, name = both_sides(error)
        assert registry().find(kind, name).whose in error.message
        assert error.hint
        steps = steps_to_accepted(choice, most=3)
        assert steps, f"{choice}: no hint leads to a recipe that is accepted\n{error}"
        # Each step does away with what was refused: some alternative is accepted or fails for another reason.
        after = [refusal(c) for c in alternatives(choice, error)]
        assert any(e is None or e.message != error.message for e in after), f"{choice}: the hint leaves the same refusal\n{error}"


def test_the_whole_matrix_is_counted() -> None:
    choices = [c for r in ROWS for c in row(*r)]
    counts = Counter("accepted" if refusal(c) is None else "refused" for c in choices)
    steps = Counter(steps_to_accepted(c, most=3) for c in choices if refusal(c) is not None)
    print(f"accepted {counts['accepted']}, refused {counts['refused']}; refusals to mend in a row: {dict(sorted(steps.items()))}")
    assert (counts["accepted"], counts["refused"]) == (ACCEPTED, REFUSED)
    assert steps == MENDED_BY


def test_every_encoder_dynamics_layout_and_decoder_is_accepted_somewhere() -> None:
    accepted = [c for r in ROWS for c in row(*r) if refusal(c) is None]
    used = {
        "encoder": {e for c in accepted for e in c.encoders},
        "decoder": {d for c in accepted for d in c.decoders},
        "dynamics": {c.dynamics for c in accepted},
    }
    for kind, names in used.items():
        installed = {r.component.name for r in registry().components(kind)}
        assert names == installed, f"the matrix leaves out {kind} {', '.join(sorted(installed - names))}"
    layouts = {(c.dynamics, plan_of(c).latent.layout) for c in accepted}
    assert layouts == set(itertools.product(used["dynamics"], ("scene", "agents")))
    assert {c.dataset for c in accepted} == {dataset for dataset, _ in WORLDS.values()}
