"""The machine that measures: environment, GPU state, other processes."""
