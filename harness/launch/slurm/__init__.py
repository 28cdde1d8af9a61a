"""Trials as SLURM job arrays, through submitit. The files of a run are the truth; what SLURM says is a hint.

`sweep` writes down what it is about to submit (`<run>/jobs/TOKEN/submission.json`), then submits, then returns. A job
starts `python -m harness job`, which runs the local pool over the trials that the submission names. What starts first
in a job imports this package, so nothing heavy is imported here.
"""

from harness.launch.slurm.logs import job_fate, job_log_tail
from harness.launch.slurm.submission import is_confirmed

__all__ = ["is_confirmed", "job_fate", "job_log_tail"]
