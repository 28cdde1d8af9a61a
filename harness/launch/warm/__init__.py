"""Workers that start warm: forked from a process that has imported torch and the harness, so that they begin at once.

`server` is that process, `client` is the side of the pool. A worker becomes a child of the pool, which is a subreaper:
the server forks a process that forks the worker and ends. So the pool sees exit codes and signals as of any worker, and
the end of the server costs nothing. The server has the environment of its workers and computes nothing.
"""
