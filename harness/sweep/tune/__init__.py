"""The `tune:` section of a sweep file: its fields, checks, search space and plan."""
