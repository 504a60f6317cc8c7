"""Dangerous commands say what will happen, and ask."""

import sys

import click

from chatkeep.errors import Fault


def confirm(what: str, *, yes: bool) -> None:
    """Returns when it may be done. Raises Fault when not, or when there is nobody to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Fault(f"{what}: give --yes to do it without being asked")
    if not click.confirm(f"{what}. Do it?", err=True):
        raise Fault("nothing was changed")
