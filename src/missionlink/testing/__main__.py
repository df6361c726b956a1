"""A fake runtime as a program: ``python -m missionlink.testing [--script module:function] [flags of a runtime]``.

It takes the flags of a real runtime, speaks over stdio with ``--stdio`` and listens on TCP without. A script is a
function that gets the ``FakeRuntime``; it may be async. Without one the fake answers plausibly. With requests that
nobody foresaw, or with expectations that were not met, it says so on its standard error and ends with code 70.
"""

from __future__ import annotations

import argparse
import os
import sys

from missionlink.testing import relay

MISMATCH_EXIT_CODE = 70
WRONG_USE_EXIT_CODE = 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m missionlink.testing", description="A fake agent runtime.")
    parser.add_argument("--script", help="module:function that drives the fake runtime")
    parser.add_argument("--family", default="1.0.102", help="version to imitate: 1.0.102 or 1.0.60")
    parser.add_argument("--relay", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="store_true", help="print the version that is imitated")
    flags = parser.add_argument_group("flags of a runtime")
    for flag in ("--headless", "--stdio", "--no-auto-update", "--no-auto-login"):
        flags.add_argument(flag, action="store_true")
    flags.add_argument("--port", type=int, default=0)
    for flag in ("--log-level", "--log-dir", "--auth-token-env", "--session-idle-timeout"):
        flags.add_argument(flag)
    flags.add_argument("--secret-env-vars", action="append", nargs="*")
    return parser


def main(argv: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    words = sys.argv[1:] if argv is None else argv
    parser = _parser()
    options, unknown = parser.parse_known_args(words)
    if unknown:
        # A real runtime ends with 1 here, not with argparse's 2.
        sys.stderr.write(f"error: unknown option '{unknown[0]}'\n")
        return 1
    if options.version:
        sys.stdout.write(f"{options.family}\n")
        return 0
    if options.relay:
        host, port, key = options.relay.split(":")
        if options.stdio:
            relay.run_stdio((host, int(port)), key, words)
        else:
            relay.run_tcp((host, int(port)), key, words, options.port)
    # Only now: a relay has to start fast, and needs none of it.
    from missionlink.errors import InvalidOption, ScriptMismatch
    from missionlink.testing import server_process

    token = os.environ.get("COPILOT_CONNECTION_TOKEN")
    try:
        return server_process.run(
            options.script, family=options.family, port=None if options.stdio else options.port, token=token
        )
    except (OSError, OverflowError) as error:
        sys.stderr.write(f"error: cannot listen on port {options.port}: {error}\n")
        return WRONG_USE_EXIT_CODE
    except InvalidOption as wrong:
        sys.stderr.write(f"error: {wrong}\n")
        return WRONG_USE_EXIT_CODE
    except ScriptMismatch as mismatch:
        sys.stderr.write(f"{mismatch}\n")
        return MISMATCH_EXIT_CODE


if __name__ == "__main__":
    sys.exit(main())
