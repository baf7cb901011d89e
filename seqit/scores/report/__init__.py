"""Output of results: query results as bytes, comparisons as tables, JSON rows and figures."""
