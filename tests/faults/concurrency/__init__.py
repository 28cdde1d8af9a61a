"""Edits, deletions, forks, stops and other commands at random instants of a sweep."""
