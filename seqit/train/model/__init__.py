"""The model in training: loading, LoRA, the memory estimate, saving, and the model card.

Nothing here iterates over data or steps; that belongs in seqit.train.data and seqit.train.loop.
"""
