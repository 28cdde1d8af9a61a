"""The trunk around a variant: embedding, positions, readout, heads."""
