"""Statistics of trials: intervals, paired tests, Pareto fronts with uncertainty. Plain numbers in and out, no torch."""
