"""The machine: environment, state of the GPU, other processes."""
