"""Augmentation methods: each module `augment`s a stream of rows, for example into chains.

What one method needs is in its module or sub-package; what several share is in derive, form,
language, prompt and respond. Command-line options are in seqit.commands.augment.
"""
