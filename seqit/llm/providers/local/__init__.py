"""Backends that run a model in this process (vLLM, transformers), and what they share.

Locating, loading and prompting local models is here, also for train and evaluate; training is not.
"""
