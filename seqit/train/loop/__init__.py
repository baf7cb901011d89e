"""The training run of one rank: engine, steps, checkpoints, resuming, metrics and provenance.

Starting the ranks as processes belongs in seqit.train.launch.
"""
