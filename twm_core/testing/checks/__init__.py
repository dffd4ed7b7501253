"""The checks of each kind, in the order in which they run.

`COUNTS` is asserted whenever checks are run: a battery that shrinks unnoticed would pass everything.
"""

from __future__ import annotations

from dataclasses import replace

from twm_core.errors import UsageError
from twm_core.kinds import KINDS
from twm_core.testing.checks.baseline import BASELINE
from twm_core.testing.checks.check import Check
from twm_core.testing.checks.common import COMMON
from twm_core.testing.checks.dataset import DATASET
from twm_core.testing.checks.decoder import DECODER
from twm_core.testing.checks.dynamics import OBSERVING
from twm_core.testing.checks.encoder import ENCODER
from twm_core.testing.checks.episodes import EPISODES
from twm_core.testing.checks.imagination import IMAGINING
from twm_core.testing.checks.loss import LOSS
from twm_core.testing.checks.metric import METRIC
from twm_core.testing.checks.module import MODULE
from twm_core.testing.checks.optimizer import OPTIMIZER
from twm_core.testing.checks.protocol import PROTOCOL
from twm_core.testing.checks.reader import READER
from twm_core.testing.checks.renderer import RENDERER
from twm_core.testing.checks.simulator import SIMULATOR
from twm_core.testing.checks.withholding import WITHHOLDING

CHECKS: dict[str, tuple[Check, ...]] = {
    "dataset": (*COMMON, *DATASET, *EPISODES),
    "encoder": (*COMMON, *MODULE, *ENCODER),
    "dynamics": (*COMMON, *MODULE, *OBSERVING, *WITHHOLDING, *IMAGINING),
    "decoder": (*COMMON, *(replace(c, needs=(*c.needs, "keys_match_the_spec")) for c in MODULE), *DECODER),
    "loss": (*COMMON, *LOSS),
    "optimizer": (*COMMON, *OPTIMIZER),
    "reader": (*COMMON, *READER),
    "renderer": (*COMMON, *RENDERER),
    "simulator": (*COMMON, *SIMULATOR),
    "metric": (*COMMON, *METRIC),
    "baseline": (*COMMON, *BASELINE),
    "protocol": (*COMMON, *PROTOCOL),
}
"""The battery of each kind."""

COUNTS = {
    "dataset": 17,
    "encoder": 24,
    "dynamics": 41,
    "decoder": 30,
    "loss": 17,
    "optimizer": 13,
    "reader": 17,
    "renderer": 12,
    "simulator": 15,
    "metric": 17,
    "baseline": 21,
    "protocol": 11,
}
"""How many checks each battery has."""

__all__ = ["CHECKS", "COUNTS", "Check", "battery"]


def battery(kind: str) -> tuple[Check, ...]:
    """All checks of a kind.

    Raises:
        UsageError: The number of checks is not the number that is written down, or a check needs one that is not there.
    """
    checks = CHECKS[kind]
    names = [c.name for c in checks]
    if len(checks) != COUNTS[kind] or len(set(names)) != len(names):
        raise UsageError(f"the battery for kind {kind!r} has {len(checks)} checks, {COUNTS[kind]} are written down", "correct one of them")
    if set(CHECKS) != set(KINDS):
        raise UsageError(f"there are batteries for {', '.join(CHECKS)} and kinds {', '.join(KINDS)}", "write a battery for each kind")
    unknown = {n for c in checks for n in c.needs} - set(names)
    if unknown:
        raise UsageError(f"the battery for kind {kind!r} needs checks that are not in it: {', '.join(sorted(unknown))}", "correct `needs`")
    return checks
