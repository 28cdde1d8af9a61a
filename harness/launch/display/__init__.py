"""Displays of a sweep at work, and the estimate of the time left."""
