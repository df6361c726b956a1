"""The tree of commands. A command's module is imported when the command is called, not to list it."""

from __future__ import annotations

import contextlib
import importlib
import traceback
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import click

from missionlink import __version__
from missionlink.cli.logging import log_shown_by
from missionlink.cli.outcome import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, exit_code, text_of
from missionlink.cli.output import dimmed
from missionlink.errors import MissionlinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = (
    "COMMANDS",
    "LazyGroup",
    "Settings",
    "call",
    "root",
)

COMMANDS = {
    "run": ("missionlink.cli.commands.run:run", "Send one prompt to an agent and print its answer."),
    "chat": ("missionlink.cli.commands.chat:chat", "Talk with an agent at the terminal."),
    "runtime": ("missionlink.cli.commands.runtime:runtime", "Install, list and find the agent runtime."),
    "control": (
        "missionlink.cli.commands.control:control",
        "Run a Mission Control: cloud sessions without an account.",
    ),
    "doctor": ("missionlink.cli.commands.doctor:doctor", "Say what is found, what is missing and what to type."),
}
"""Name of a command to where it is and the line that the help shows for it."""


@dataclass(slots=True)
class Settings:
    """What holds forevery command."""

    debug: bool = False
    loaded: Callable[[], object] = lambda: None
    """Called when the command's module is loaded, before anything is opened."""


class LazyGroup(click.Group):
    """A group whose commands are named in ``COMMANDS`` and imported on first use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one command; ``None`` for a name that is not in the table."""
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        return cast("click.Command", getattr(importlib.import_module(module), name))

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list for the help out of the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 all went well, 1 a failure, 2 wrong arguments, 130 interrupted.",
)
@click.option("--debug", is_flag=True, help="Show where in the program an error came from.")
@click.version_option(__version__, prog_name="missionlink", message="%(prog)s %(version)s")
@click.pass_obj
def root(settings: Settings, debug: bool) -> None:
    """Drive the GitHub Copilot agent runtime: local and cloud sessions."""
    settings.debug = debug
    settings.loaded()


def call(arguments: Sequence[str], loaded: Callable[[], object] = lambda: None) -> int:
    """Run one command and turn how it ended into an exit code; what failed is printed in one line.

    Args:
        arguments: What follows the program's name.
        loaded: Called when the command's module is loaded, before anything is opened.
    """
    settings = Settings(loaded=loaded)
    try:
        with log_shown_by(lambda line: click.echo(dimmed(f"note: {line}", err=True), err=True)):
            ended = root.main(list(arguments), prog_name="missionlink", obj=settings, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except click.Abort as error:
        if isinstance(error.__cause__, KeyboardInterrupt):
            return EXIT_INTERRUPTED
        click.echo("error: given up: there was no answer to a question", err=True)
        return EXIT_FAILED
    except (MissionlinkError, OSError) as error:
        if settings.debug:
            traceback.print_exc()
        # The output may be what failed: a full disk, a terminal that is gone.
        with contextlib.suppress(OSError):
            click.echo(f"error: {text_of(error)}", err=True)
        return exit_code(error)
    return ended if isinstance(ended, int) else EXIT_OK
