"""Run model-written code against tests in isolated processes (Linux only).

The host side is here, the code that runs inside the sandbox in worker/. Imports nothing: the
worker loads this package in an isolated interpreter.
"""
