"""Time and energy: latency in interleaved samples, noise probe, peak of the machine."""
