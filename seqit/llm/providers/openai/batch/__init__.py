"""The backend for OpenAI's Batch API: submits requests as files and collects their results.

The format of a single request and response is that of seqit.llm.providers.openai.
"""
