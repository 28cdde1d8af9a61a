"""What a model costs: each measure in its own file, each usable alone, each returning a plain record with units."""
