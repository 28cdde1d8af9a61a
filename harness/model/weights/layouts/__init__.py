"""Layouts of checkpoints, one per file: a file defines `LAYOUT`, and its name is the layout's name in sweep files."""
