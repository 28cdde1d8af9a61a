"""Shared parts of reports: rows with their statistics, conditions, the table as data, plot style, files."""
