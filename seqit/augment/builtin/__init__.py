"""The builtin teacher: a library of steps that rules add to a record, without a model.

Here: the steps, the rules that choose and solve them, and the wording of a chain. Not here: the
programs that verify steps (checks) and the engine that runs a teacher (seq_instruct).
"""
