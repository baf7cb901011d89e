"""The backends: OpenAI-compatible servers, models in this process, and replayed recordings.

Each implements seqit.llm.backend.Backend and is registered in seqit.llm.registry.
"""
