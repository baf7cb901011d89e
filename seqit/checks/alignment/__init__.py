"""Assign the parts of an answer to the steps of its chain, by the checks that they pass."""
