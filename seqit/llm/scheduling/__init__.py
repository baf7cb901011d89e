"""Decides when requests are sent: order, concurrency, rate limits, retries, budget and prices.

What is sent is decided by the callers, and how by the providers.
"""
