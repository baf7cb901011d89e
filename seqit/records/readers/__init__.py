"""Readers: from the bytes of a source to raw rows, decoded rows and valid records.

Opening and decompressing a source belongs to `seqit.stores`, the dataset formats to
`seqit.records.formats`.
"""
