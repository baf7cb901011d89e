"""Statistics on plain numbers: intervals, paired tests, power, agreement, length adjustment.

No SQL and no files of scores: the callers pass numbers.
"""
