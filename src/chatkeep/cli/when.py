"""Times as commands take and show them, in UTC."""

import re
from datetime import UTC, datetime

import click

METAVAR = "WHEN"
HELP = "30d, 12h, 2027-01-31, 2027-01-31T18:00, a unix second, now or never."
_UNITS = {"m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def unix(text: str, now_unix: int) -> int | None:
    """The second meant, None for never. Raises BadParameter."""
    if text in ("never", "now"):
        return None if text == "never" else now_unix
    if text.isascii() and text.isdecimal() and len(text) < 16:
        return int(text)
    span = re.fullmatch(r"(\d{1,6})([mhdw])", text, re.ASCII)
    if span:
        return now_unix + int(span[1]) * _UNITS[span[2]]
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no time; give one like {HELP}") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp())


def shown(unix_s: int | None) -> str:
    if unix_s is None:
        return "never"
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
