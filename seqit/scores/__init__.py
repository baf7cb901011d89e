"""Analysis of score files: model comparisons, SQL views over scores, and tables of the results.

Rows of scores come in, from `seqit score`, `seqit judge` or AlpacaEval's annotations. How scores
are made is in seqit.evaluate.
"""
