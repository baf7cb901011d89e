"""Translate-then-predict: chains from parallel texts, and translation by a language model."""
