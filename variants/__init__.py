"""Attention schemes, one per file: the file's name is the variant's name."""
