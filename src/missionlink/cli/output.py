"""Print results: aligned columns for people, one JSON document for programs."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING, TypeVar

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ("as_json", "dimmed", "json_option", "print_columns", "print_json")

_Command = TypeVar("_Command", bound="Callable[..., object]")


def json_option(command: _Command) -> _Command:
    """Give a command the option that every command with a result has."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document for programs.")(command)


def dimmed(text: str, *, err: bool = False) -> str:
    """Return text as a terminal shows remarks; unchanged where there is none, or one without styles."""
    stream = sys.stderr if err else sys.stdout
    is_plain = os.environ.get("TERM") == "dumb" or bool(os.environ.get("NO_COLOR"))
    return text if is_plain or not stream.isatty() else click.style(text, dim=True)


def as_json(value: object) -> str:
    """Write a value as one JSON document, indented for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False)


def print_json(value: object) -> None:
    """Print a value as one JSON document."""
    click.echo(as_json(value))


def print_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows with their cells under each other; the last cell of a row may be long."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))] if rows else []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        click.echo("  ".join(cells).rstrip())
