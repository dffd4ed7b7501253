"""The process in which a live simulation runs: reads commands from standard input, answers on standard output, both pickled.

Started by `twm_sumo.simulator` as `python -m twm_sumo.worker`. What SUMO itself prints goes to standard error. An answer is ("ok",
result), ("refused", message) for an intervention that cannot be carried out, or ("failed", message).
"""

from __future__ import annotations

import os
import pickle
import sys


def main() -> None:
    """Answer commands until there are no more."""
    commands = sys.stdin.buffer
    # SUMO prints to the file that standard output was: keep that for the answers, and let what is printed go to standard error.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    import libsumo

    from twm_sumo.world import RefusedError, World

    world = World()
    while True:
        try:
            name, arguments = pickle.load(commands)
        except EOFError:
            return
        try:
            answer = ("ok", getattr(world, name)(*arguments))
        except RefusedError as error:
            answer = ("refused", str(error))
        except (libsumo.TraCIException, libsumo.FatalTraCIError) as error:
            answer = ("failed", str(error))
        pickle.dump(answer, answers)
        answers.flush()


if __name__ == "__main__":
    main()
