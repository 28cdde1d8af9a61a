"""Trains one trial: loop, optimizer and schedule, checkpoints, evaluation over views."""
