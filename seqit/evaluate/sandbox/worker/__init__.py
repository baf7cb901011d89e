"""Code that runs inside the sandbox: one worker is one Python process that isolates itself.

seqit itself imports only the mount plan and the syscall tables from here. The modules use the
standard library alone, and are loaded before the worker is isolated.
"""
