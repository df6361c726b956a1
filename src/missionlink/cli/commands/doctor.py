"""``missionlink doctor``: what is found, what is missing and what to type."""

from __future__ import annotations

import os

import click

from missionlink.cli.checks import examine
from missionlink.cli.outcome import EXIT_FAILED, EXIT_OK
from missionlink.cli.output import json_option, print_columns, print_json

__all__ = ("doctor",)

_MARKS = {"ok": "ok", "note": "--", "problem": "!!"}


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Say what is found, what is missing and what to type.

    The runtime is started to ask who is logged in. Nothing is installed or changed. The exit code is 0 when a session
    can be started on this machine, else 1.
    """
    diagnosis = examine(os.environ)
    if as_json:
        findings = [
            {
                "topic": one.topic,
                "state": one.state,
                "text": one.text,
                "advice": one.advice or None,
                "facts": dict(one.facts),
            }
            for one in diagnosis.findings
        ]
        print_json({"ok": diagnosis.is_well, "findings": findings})
    else:
        print_columns([(_MARKS[one.state], one.topic, one.text) for one in diagnosis.findings])
        advised = [one for one in diagnosis.findings if one.advice]
        if advised:
            click.echo("\nTo type:")
            print_columns([(f"  {one.advice}", f"# {one.topic}") for one in advised])
    return EXIT_OK if diagnosis.is_well else EXIT_FAILED
