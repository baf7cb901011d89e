"""Seq-Instruct: iterations of decompose, prefix, suffix and keep, with a teacher.

`method` runs the iterations, `teacher` is the protocol. The language-model teacher is in llm, the
reference implementation's answer format in paper; the rule-based one is seqit.augment.builtin.
"""
