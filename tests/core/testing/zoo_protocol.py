"""A healthy protocol, and what may be wrong with one. Torch-free, as a protocol is."""

from __future__ import annotations

import os
from dataclasses import replace

from zoo_configs import ZooProtocol

from twm_core.evaluation import protocol
from twm_core.evaluation.protocol import Protocol


def build(config: ZooProtocol, given: str) -> Protocol:
    built = protocol.build(config, given)
    if config.fault == "imports torch":
        import torch

        assert torch
    if config.fault == "has another hash in each process":
        return replace(built, options={**built.options, "seed": os.getpid()}) if os.environ.get("PYTHONHASHSEED") else built
    return replace(built, samples=1) if config.fault == "builds another one" else built
