"""Measure models: they answer benchmark items (respond), and judges and metrics score the answers.

Here: LLM, reward and program judges (judges), reference metrics (metrics), the sandbox for code,
and lm-evaluation-harness. Statistics over finished scores are in seqit.scores. Imports nothing:
the sandbox worker loads this package in an isolated interpreter.
"""
