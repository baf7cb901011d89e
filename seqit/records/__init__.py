"""Records: the row types, readers, writers, dataset formats, validation, ids and run statistics.

Code that reads, writes, checks or identifies rows goes here. Opening and writing files (pipes,
compression) belongs to `seqit.stores`, running steps over rows to `seqit.engine`.
"""
