"""Reads YAML with line marks into nodes, and reports all faults of a file at once."""
