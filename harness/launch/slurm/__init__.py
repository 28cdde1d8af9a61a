"""Trials as SLURM job arrays, through submitit. The files of a run are authoritative; SLURM's output is advisory.

`Slurm.run` writes a submission file (`<run>/jobs/TOKEN/submission.json`), calls sbatch, and returns. A job runs the
local pool over the trials that the submission names (`harness.launch.slurm.job`). The first program of a job imports
this package, so it imports nothing heavy.
"""
