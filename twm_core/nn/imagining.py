"""How imagination begins and ends, the same for all dynamics: samples folded into the batch, and the action that leads to each step.

Inside a loop over imagined steps `S` samples are part of the batch, `[B*S,...]`: `Futures` folds the start, those who take part and the
actions that are known beforehand, asks a policy for those that are not, and unfolds the states at the end to `[B,S,H,...]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from twm_core.errors import UsageError
from twm_core.nn.actions import check_actions
from twm_core.nn.interfaces import Features, Policy
from twm_core.nn.state import S, State, repeat_samples, stack_time, unfold_samples
from twm_core.specs import ActionSpec

ActionPart = Callable[[Tensor, Tensor | None], Tensor]
"""Actions `[B*S,H,U]` or `[B*S,H,A,U]`, and who exists `[B*S,A]`, to what dynamics read of each action, `[H,R,...]`."""


class Futures:
    """Samples of one imagination.

    Args:
        state: Where to start, `[B,...]`.
        steps: `H`.
        actions: `[B,H,U]` or `[B,H,A,U]`, a policy, or None.
        spec: The declared actions.
        exists: Who takes part, bool `[B,A]`; None means all, or that there are no agents.
        samples: `S`.
        part: What the dynamics make of actions.
        features: What a policy reads of a state; `Dynamics.features`.

    Attributes:
        start: `state` repeated, `[B*S,...]`.
        exists: `exists` repeated, `[B*S,A]`, or None.

    Raises:
        UsageError: No steps are asked for, or fewer actions are given than steps.
        Mismatch: Actions are declared and missing, or given and not declared.
    """

    def __init__(
        self,
        state: State,
        steps: int,
        actions: Tensor | Policy | None,
        *,
        spec: ActionSpec | None,
        exists: Tensor | None,
        samples: int,
        part: ActionPart,
        features: Callable[[State], Features],
    ) -> None:
        if steps < 1:
            raise UsageError(f"imagine needs at least one step, got {steps}", "ask for one step or more")
        self.samples = samples
        self.start = repeat_samples(state, samples)
        self.exists = None if exists is None else exists.repeat_interleave(samples, dim=0)
        self._part = part
        self._features = features
        self._known: Sequence[Tensor] | None = None
        self._policy: Policy | None = None
        if actions is None or isinstance(actions, Tensor):
            check_actions(actions, spec)
        if isinstance(actions, Tensor):
            if actions.shape[1] < steps:
                raise UsageError(f"imagine was asked for {steps} steps and given actions for {actions.shape[1]}", "give one for each step")
            self._known = part(actions[:, :steps].repeat_interleave(samples, dim=0), self.exists).unbind(0)
        else:
            self._policy = actions

    def action_part(self, t: int, before: State) -> Tensor | None:
        """What leads to imagined step `t`, `[R,...]`; None without actions.

        Args:
            t: The step, counted from 0.
            before: The state before it, `[B*S,...]`; a policy chooses from its features.
        """
        if self._known is not None:
            return self._known[t]
        if self._policy is None:
            return None
        return self._part(self._policy(self._features(before)).unsqueeze(1), self.exists)[0]

    def join(self, states: Sequence[S]) -> S:
        """Imagined states `[B*S,...]` of consecutive steps as `[B,S,H,...]`."""
        return unfold_samples(stack_time(states), self.samples)
