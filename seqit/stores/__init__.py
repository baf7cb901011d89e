"""Stores: where bytes are read from and written to.

Opening, decompressing, and writing files atomically. What the bytes mean belongs to
`seqit.records`.
"""
