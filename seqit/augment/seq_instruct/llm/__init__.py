"""The language-model teacher of Seq-Instruct: one module per stage, and the checks of a chain."""
