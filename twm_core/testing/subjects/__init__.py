"""Subjects: small instances of a component, one for each situation that its config does not refuse, with what they are fed."""

from __future__ import annotations

from twm_core.testing.subjects.base import ModuleSubject, Situation, Subject
from twm_core.testing.subjects.baseline import BaselineSubject
from twm_core.testing.subjects.dataset import DatasetSubject
from twm_core.testing.subjects.decoder import DecoderSubject
from twm_core.testing.subjects.dynamics import DynamicsSubject
from twm_core.testing.subjects.encoder import EncoderSubject
from twm_core.testing.subjects.loss import LossSubject
from twm_core.testing.subjects.metric import MetricSubject
from twm_core.testing.subjects.optimizer import OptimizerSubject
from twm_core.testing.subjects.protocol import ProtocolSubject
from twm_core.testing.subjects.reader import ReaderSubject
from twm_core.testing.subjects.renderer import RendererSubject
from twm_core.testing.subjects.simulator import SimulatorSubject

SUBJECTS: dict[str, type[Subject]] = {
    "dataset": DatasetSubject,
    "encoder": EncoderSubject,
    "dynamics": DynamicsSubject,
    "decoder": DecoderSubject,
    "loss": LossSubject,
    "optimizer": OptimizerSubject,
    "reader": ReaderSubject,
    "renderer": RendererSubject,
    "simulator": SimulatorSubject,
    "metric": MetricSubject,
    "baseline": BaselineSubject,
    "protocol": ProtocolSubject,
}

__all__ = [
    "SUBJECTS",
    "BaselineSubject",
    "DatasetSubject",
    "DecoderSubject",
    "DynamicsSubject",
    "EncoderSubject",
    "LossSubject",
    "MetricSubject",
    "ModuleSubject",
    "OptimizerSubject",
    "ProtocolSubject",
    "ReaderSubject",
    "RendererSubject",
    "SimulatorSubject",
    "Situation",
    "Subject",
]
