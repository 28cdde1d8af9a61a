"""Time and energy: latency, interleaved samples, noise probe, peak rates of the machine, energy meters."""
