"""Judges: LLM judges with their prompts and output forms, reward models, and the program judge.

Every judge yields score rows. Metrics that compare with a reference are in evaluate/metrics.
"""
