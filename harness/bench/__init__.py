"""Comparisons of rows in time: interleaved blocks on a quiet machine, frontiers within a budget, scaling."""
