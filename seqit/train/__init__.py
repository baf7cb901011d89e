"""Training: one recipe becomes a plan, tokens on disk, ranks that train, and a model folder."""
