"""Parser for completions of the reference implementation of Seq-Instruct (arXiv 2403.07794).

Used by the seq-instruct format and by `seqit.augment.seq_instruct.paper`, which adds the parts
that only generation needs (options, yes or no answers).
"""
