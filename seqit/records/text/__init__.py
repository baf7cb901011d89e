"""Text helpers shared by the parsers of completions: quotes, invisible characters, reasoning."""
