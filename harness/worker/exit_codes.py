"""What a worker's exit code tells its launcher."""

EXIT_DONE = 0
EXIT_FAILED = 1  # the status says how
EXIT_LOCKED = 75  # another worker has the trial
EXIT_PREEMPTED = 85  # stopped on request after a checkpoint, or by the loss of another rank; start again
