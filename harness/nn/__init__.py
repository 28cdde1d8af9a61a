"""What variants and the trunk are built of: tokens, attention, blocks, layouts."""
