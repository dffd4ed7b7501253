"""What a component costs: the time to build it, the time of one small use, its parameters, and what its checks took.

Times are CPU time of this process, the least of a few repetitions, on the small inputs of the kit (3 windows of 5 steps with 7 agents for
networks): good for comparing two components of a kind on one machine, and for nothing else. Memory is what the process grew by, which the
system reports in pages and never shrinks, so a component that is checked after a larger one may show 0.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from twm_core.testing.failure import NotApplicable
from twm_core.testing.subjects import Subject

REPETITIONS = 5


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one component costs.

    Attributes:
        component: `kind/name`.
        build: Seconds of CPU to build it once; None where it cannot be built here.
        use: Seconds of CPU of one small use; None where its data are missing or it failed.
        parameters: Trainable numbers; None for what is no network.
        checks: Seconds of CPU of all its checks.
        grown: Bytes by which the process grew while they ran.
        unmeasured: Why a time is None, where the component raised.
    """

    component: str
    build: float | None
    use: float | None
    parameters: int | None
    checks: float
    grown: int
    unmeasured: str = ""


def peak() -> int:
    """The most memory that this process has had resident so far, bytes."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most


def measure(component: str, subject: Subject | None, *, checks: float, grown: int) -> Cost:
    """Build and use a component a few times; what raises is not measured, and `unmeasured` says what it raised."""
    build = use = parameters = None
    reasons: list[str] = []
    if subject is not None:
        build = _least(subject.build, reasons)
        use = _least(subject.use, reasons)
        if build is not None and isinstance(subject.instance, nn.Module):
            parameters = sum(p.numel() for p in subject.instance.parameters() if p.requires_grad)
    return Cost(
        component=component,
        build=build,
        use=use,
        parameters=parameters,
        checks=checks,
        grown=grown,
        unmeasured="; ".join(dict.fromkeys(reasons)),
    )


def _least(function: Callable[[], object], reasons: list[str]) -> float | None:
    """The least CPU time of a few calls, after one that warms up; None where it raises, with the exception among `reasons`."""
    times = []
    try:
        function()
        for _ in range(REPETITIONS):
            start = time.process_time()
            function()
            times.append(time.process_time() - start)
    except Exception as error:  # noqa: BLE001 - a component may raise anything; the report says what
        reasons.append(str(error) if isinstance(error, NotApplicable) else f"{type(error).__name__}: {error}")
        return None
    return min(times)
