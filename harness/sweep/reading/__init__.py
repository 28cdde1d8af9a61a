"""Reads YAML into nodes with line marks and reports all faults of a file at once."""
