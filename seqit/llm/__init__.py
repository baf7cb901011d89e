"""Everything between a request to a language model and its outcome.

Here are the request types, the client that the methods use, scheduling, the completion cache and
the backends. Prompts, parsers of completions and judges belong to augment and evaluate.
"""
