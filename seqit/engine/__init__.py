"""Engine: running a function over rows in this process or in several, in input order.

Worker processes, messages between them, and temporary files for what does not fit in memory. What
a step does to a row belongs to the packages of the commands.
"""
