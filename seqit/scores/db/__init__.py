"""DuckDB over files of rows: typed views, read-only queries, the score filter of seqit filter."""
