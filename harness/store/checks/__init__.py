"""Checks of files that are already written: the journal of a search, and a whole run."""
