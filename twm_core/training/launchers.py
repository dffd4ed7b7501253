"""Whether a launcher (torchrun, srun, mpirun) started several processes of one command. A run has one process on one device.

Only variables that are set for the processes of a launcher count. A batch script of SLURM (`sbatch -n 4`) is one process, in whose
environment `SLURM_NTASKS` is 4; `srun` alone sets `SLURM_STEP_NUM_TASKS`.
"""

from __future__ import annotations

from collections.abc import Mapping

from twm_core.errors import UsageError

LAUNCHERS = {
    "WORLD_SIZE": "torchrun",
    "SLURM_STEP_NUM_TASKS": "srun",
    "OMPI_COMM_WORLD_SIZE": "mpirun",
    "PMI_SIZE": "mpirun",
    "MV2_COMM_WORLD_SIZE": "mpirun",
}
"""Variables that hold the number of processes that a launcher started, and the launcher that sets each."""


def refuse_several_processes(environ: Mapping[str, str]) -> None:
    """Refuse to train as one of several processes.

    Args:
        environ: The environment of this process.

    Raises:
        UsageError: A launcher started more than one process.
    """
    for name, launcher in LAUNCHERS.items():
        value = environ.get(name, "")
        if value.isdecimal() and int(value) > 1:
            raise UsageError(
                f"{launcher} started {value} processes ({name}={value}), and twm trains in one process on one device",
                "start one process: srun -n 1, mpirun -n 1, or no launcher",
            )
