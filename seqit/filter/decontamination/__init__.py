"""The rule that finds benchmark items in records: reading benchmarks, n-gram index, alignment."""
