"""Evol-Instruct (arXiv 2304.12244): the evolution rounds, and the elimination rules."""
