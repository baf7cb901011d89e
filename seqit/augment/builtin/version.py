"""The declared version of the builtin teacher, which chains carry as `lineage.prompt`."""

VERSION = "builtin-1"
"""Raise the number in every change after which the same record and seed can give another chain.

That is the case if a step is added, removed or renamed, if a phrasing or a reply changes, if a step
applies to other tasks, solves them or checks answers differently, and if steps or operations are
sampled differently; also if seqit.checks changes so. Comments, formatting and names in the code do
not count. tests/augment/builtin/test_version.py fails if outputs change while this does not.
"""
