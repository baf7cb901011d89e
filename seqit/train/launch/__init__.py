"""Starts the ranks of a run as processes, on one node or on several.

What a rank computes belongs in seqit.train.loop.
"""
