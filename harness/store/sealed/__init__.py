"""JSON files of a run: read within bounds, checked against their seal, parsed into a schema."""
