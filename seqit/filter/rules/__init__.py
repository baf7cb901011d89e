"""Rules that check one record at a time.

Rules that compare records are in dedup/, those that look for benchmark items in decontamination/.
"""
