"""Writers: rows to JSONL or Parquet, in one file or in a folder of shards.

Opening and replacing the files themselves belongs to `seqit.stores`.
"""
