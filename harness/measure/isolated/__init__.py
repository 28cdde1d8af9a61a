"""Measurements in a process of their own."""
