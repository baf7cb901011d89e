"""The completion cache on disk: its keys, its SQLite file, and reports on its content.

Nothing here sends requests.
"""
