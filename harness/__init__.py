"""Ablations of video-transformer attention: plan, run, count, measure, report."""

__version__ = "0.1.0"
