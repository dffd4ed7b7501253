"""The curves of a run: every logged number as a line of metrics.jsonl and as a TensorBoard scalar.

Written in the training thread. A background writer would lose the error of a full disk, and the run would go on without its curves.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog  # pyrefly: ignore[missing-module-attribute] - protobuf makes them
from tensorboardX.summary import scalar

from twm_core import atomic
from twm_core.checkpoint.manifest import RunFolder
from twm_core.errors import CheckpointError


class Curves:
    """Appends to the curves of a run, from a step on.

    Args:
        run: The run folder.
        step: Optimizer steps done; what was logged after it is forgotten, because those steps will be done again.

    Raises:
        CheckpointError: A line of metrics.jsonl that is not the last one is damaged.
        OSError: The files cannot be written; so do all methods.
    """

    def __init__(self, run: RunFolder, *, step: int) -> None:
        self._metrics = run.metrics
        _forget_after(run.metrics, step)
        run.tensorboard.mkdir(parents=True, exist_ok=True)
        # The process number keeps two files apart that begin in the same second.
        self._events = EventsWriter(str(run.tensorboard / "events"), filename_suffix=f".{os.getpid()}")
        self._events.write_event(Event(step=step + 1, file_version="brain.Event:2"))
        self._events.write_event(Event(step=step + 1, session_log=SessionLog(status=SessionLog.START)))

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers after `step` steps."""
        with open(self._metrics, "a", encoding="utf-8") as stream:
            stream.write(json.dumps({"step": step, **values}) + "\n")
        for name, value in values.items():
            self._events.write_event(Event(step=step, summary=scalar(name.replace(".", "/", 1), value)))

    def flush(self) -> None:
        """Put everything on disk."""
        self._events.flush()
        if self._metrics.exists():
            atomic.sync(self._metrics)

    def close(self) -> None:
        """Put everything on disk and close the files."""
        self.flush()
        self._events.close()


def _forget_after(metrics: Path, step: int) -> None:
    """Drop the lines of steps that will be done again, and a last line that a kill cut short.

    Raises:
        CheckpointError: Another line is damaged.
    """
    if not metrics.exists():
        return
    kept = []
    lines = metrics.read_text(encoding="utf-8", errors="replace").splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            logged = int(row["step"])
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            if number == len(lines):
                break
            raise CheckpointError(
                f"{metrics}, line {number}, is not a line of curves: {line:.60}", "mend that line, or move the file away"
            ) from error
        if logged <= step:
            kept.append(line + "\n")
    atomic.write_text(metrics, "".join(kept))
