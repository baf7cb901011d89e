"""Subsets of the records that pass: matched in output length to a baseline, or diverse."""
