"""The commands, one file each: read the options, call a package below, write the result.

Modules that begin with an underscore belong to one command; shell/ is shared by all of them. Only
this package and seqit.cli import click.
"""
