"""Multiply-accumulates: closed forms, counted operators, masked pairs, published numbers."""
