"""The backend for OpenAI-compatible servers: connection, request bodies, responses and errors."""
