"""Statistics of trials: intervals, paired tests, ratios, Pareto fronts, scaling. Plain numbers in and out, no torch."""
