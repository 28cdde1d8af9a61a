"""From a sweep file to trials: YAML with line marks, typed configuration, axes, plan."""
