"""Damaged files: nothing ends in a traceback, no number changes in silence, nothing finished is lost."""
