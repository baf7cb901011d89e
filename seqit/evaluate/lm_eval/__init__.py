"""Adapter for lm-evaluation-harness: loads its tasks and model, and turns its samples into scores.

Only the modules here may import lm_eval, and only inside functions.
"""
