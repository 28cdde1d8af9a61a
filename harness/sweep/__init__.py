"""Turns a sweep file into trials: YAML with line marks, typed configuration, axes, plan."""
