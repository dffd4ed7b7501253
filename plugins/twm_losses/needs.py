"""What losses need of decoders and data, and how they refuse. Torch-free."""

from __future__ import annotations

from twm_core import Mismatch, ObservationSpec, OutputSpec

STATE = "agents.state"


def lacks_key(output: OutputSpec, key: str) -> Mismatch | None:
    """None where `key` is decoded, else what is missing."""
    if output.has(key):
        return None
    return Mismatch(needs=f"a decoder that returns {key!r}", got=str(output), remedy="add --decoder agents")


def lacks_features(output: OutputSpec, obs_spec: ObservationSpec, *names: str) -> Mismatch | None:
    """None where `agents.state` is decoded and seen with all these features, else what is missing."""
    refused = lacks_key(output, STATE) or lacks_truth(obs_spec, STATE)
    if refused is not None:
        return refused
    decoded = output.get(STATE).features
    missing = [n for n in names if n not in decoded]
    if missing:
        needs = f"decoded features {', '.join(map(repr, missing))} of {STATE!r}"
        return Mismatch(needs=needs, got=f"features {', '.join(decoded) or 'without names'}", remedy="add --decoder agents")
    known = [f.name for f in obs_spec.get(STATE).features]
    missing = [n for n in names if n not in known]
    if missing:
        needs = f"features {', '.join(map(repr, missing))} in key {STATE!r}"
        return Mismatch(needs=needs, got=f"features {', '.join(known)}", remedy="choose a dataset of traffic, such as --dataset highway")
    return None


def lacks_truth(obs_spec: ObservationSpec, key: str) -> Mismatch | None:
    """None where batches hold `key`, else what is missing."""
    if obs_spec.has(key):
        return None
    return Mismatch(needs=f"key {key!r}", got=obs_spec.describe(), remedy="choose a dataset of traffic, such as --dataset highway")


def lacks_horizon(obs_spec: ObservationSpec, remedy: str) -> Mismatch | None:
    """None where windows have predicted steps, else a refusal with this remedy."""
    if obs_spec.horizon:
        return None
    return Mismatch(needs="windows with predicted steps", got=obs_spec.describe(), remedy=remedy)
