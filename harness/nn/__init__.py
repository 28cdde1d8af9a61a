"""Building blocks of variants and trunk: tokens, attention, blocks, layouts, closed forms, oracles."""
