"""The `launch:` section of a sweep file: its fields and the resources of each trial."""
