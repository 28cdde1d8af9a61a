"""The functions behind `harness.plan`, `harness.run` and the others; the command line calls them too."""
