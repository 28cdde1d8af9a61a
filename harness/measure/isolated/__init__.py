"""Measurements in subprocesses."""
