"""Runs trials on this machine: a pool of worker processes that start warm.

`pool` starts workers (through `starter`), sees their end (`workers`) and limits them (`limits`). A warm worker is
forked from a process that has imported torch and the harness (`server`; `warm` is the pool's side of it). It becomes a
child of the pool, which is a subreaper: the server forks a process that forks the worker and ends. So the pool sees
exit codes and signals as of any worker, and the end of a server costs nothing. A server has the environment of its
workers, and computes nothing.
"""
