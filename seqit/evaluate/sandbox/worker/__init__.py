"""What runs inside the sandbox: a cell is one Python process that shuts itself in.

Nothing here is imported by seqit itself but the plan of the cell's files. The modules need the
standard library alone, and are loaded before the cell is shut.
"""
