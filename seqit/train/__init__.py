"""Fine-tuning: from a recipe to a plan, prepared tokens, a distributed run and a model folder.

data/ turns rows into tensors, model/ loads and saves weights, loop/ runs the steps, launch/ starts
the ranks. Command-line options and printed output belong in seqit.commands.
"""
