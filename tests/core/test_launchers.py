"""Several processes of a launcher are refused; the variables of a batch script, which is one process, are not."""

from __future__ import annotations

import pytest

from twm_core.errors import UsageError
from twm_core.training.launchers import refuse_several_processes

SBATCH = {"SLURM_JOB_ID": "1", "SLURM_JOB_NAME": "tw", "SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}


@pytest.mark.parametrize(
    "environ",
    [
        {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"},
        {**SBATCH, "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1"},
        {"OMPI_COMM_WORLD_SIZE": "2"},
        {"PMI_SIZE": "3"},
    ],
)
def test_several_processes_of_a_launcher_are_refused(environ: dict[str, str]) -> None:
    with pytest.raises(UsageError, match=r"started \d processes .*one device\n.*start one process"):
        refuse_several_processes(environ)


@pytest.mark.parametrize("environ", [{}, SBATCH, {**SBATCH, "SLURM_STEP_NUM_TASKS": "1"}, {"WORLD_SIZE": "1"}, {"PMI_SIZE": "many"}])
def test_one_process_is_accepted(environ: dict[str, str]) -> None:
    refuse_several_processes(environ)
