"""One document: its examples are run from the top to the bottom, in one namespace.

- ``python`` blocks are run. ``await`` may stand outside of a function, as in ``python -m asyncio``.
- A ``text`` block behind a ``python`` block is what that one prints; ``...`` stands for anything.
- ``sh`` blocks are checked word by word and not run.
- ``console`` blocks are run: lines behind ``$`` are commands, the others are what they print. The picture of
  ``make demo`` is shortened.
- ``<!-- runtime: real -->`` gives the examples that follow a real runtime, ``fake`` takes it away again.
"""

from __future__ import annotations

import ast
import asyncio
import contextlib
import inspect
import io
import re
import subprocess
from typing import TYPE_CHECKING, Any

from sybil import Document, Example, Region
from sybil.parsers.markdown import CodeBlockParser
from sybil.parsers.markdown.lexers import DirectiveInHTMLCommentLexer

from .commands import check_command, program_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from .conftest import Reader

LANGUAGES = ("python", "text", "sh", "console", "toml", "")
"""What a fence may be marked with; plain ones are drawings."""


class Page:
    """The examples of one document.

    Args:
        path: The document.
        reader: The machine that they run on.
    """

    def __init__(self, path: Path, reader: Reader) -> None:
        self._reader = reader
        self._namespace: dict[str, Any] = {"__name__": "__main__"}
        self._printed = ""
        self._document = Document.parse(
            str(path),
            CodeBlockParser("python", self._run),
            CodeBlockParser("text", self._compare),
            CodeBlockParser("sh", self._check),
            CodeBlockParser("console", self._run_opener),
            self._directives,
        )

    def run(self) -> int:
        """Run all examples; return how many there were."""
        count = 0
        with asyncio.Runner() as runner:
            self._runner = runner
            for example in self._document.examples():
                example.evaluate()
                count += 1
        return count

    def _directives(self, document: Document) -> Iterable[Region]:
        for region in DirectiveInHTMLCommentLexer("runtime", "real|fake")(document):
            region.evaluator = lambda example: self._reader.has(example.region.lexemes["arguments"])
            yield region

    def _run(self, example: Example) -> None:
        # Line numbers in tracebacks are those of the document.
        source = "\n" * example.line + example.parsed
        code = compile(source, example.path, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            if code.co_flags & inspect.CO_COROUTINE:
                self._runner.run(eval(code, self._namespace))
            else:
                exec(code, self._namespace)
        self._printed = printed.getvalue()

    def _compare(self, example: Example) -> str | None:
        printed, self._printed = self._printed, ""
        return difference(example.parsed, printed)

    def _check(self, example: Example) -> str | None:
        problems = [check_command(line) for line in commands_in(example.parsed)]
        return "\n".join(filter(None, problems)) or None

    def _run_opener(self, example: Example) -> str | None:
        for command, expected in conversation(example.parsed):
            if problem := check_command(command):
                return problem
            program = program_of(command)
            done = subprocess.run(program, capture_output=True, text=True, timeout=200, check=False)
            differs = unlike_picture if command == "make demo" else difference
            if problem := differs(expected, done.stdout):
                return f"{command}: {problem}\n{done.stderr}"
        return None


def commands_in(block: str) -> list[str]:
    """Return the commands of a block, without remarks, with continued lines joined."""
    lines = block.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def conversation(block: str) -> list[tuple[str, str]]:
    """Split a terminal picture into commands and what each prints."""
    parts = re.split(r"^\$ (.+)\n?", block, flags=re.MULTILINE)
    return list(zip(parts[1::2], parts[2::2], strict=True))


def unlike_picture(picture: str, printed: str) -> str | None:
    """Say which line of a shortened picture of the demo is not printed in its order; ``None`` if all are.

    Events are printed beside the rest, by a task of their own: each of the two has an order, the mixture has none.
    """
    shown = [without_chance(line) for line in picture.splitlines() if line.strip() != "..."]
    lines = [without_chance(line) for line in printed.splitlines()]
    for events in (True, False):
        rest = iter([line for line in lines if line.lstrip().startswith("event ") == events])
        for line in shown:
            if line.lstrip().startswith("event ") == events and line not in rest:
                return f"{line!r} is not printed, or not in this order; printed was\n{printed}"
    return None


def without_chance(line: str) -> str:
    """Return a line with what differs from run to run replaced."""
    line = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "ID", line)
    return re.sub(r"(?<=127\.0\.0\.1:)\d+|(?<=process )\d+|\d+(?= events$)", "N", line)


def difference(expected: str, printed: str) -> str | None:
    """Say how what was printed differs from what the document says; ``None`` if it does not."""
    pattern = re.escape(expected.strip()).replace(re.escape("..."), ".*?")
    if re.fullmatch(pattern, printed.strip(), re.DOTALL):
        return None
    return f"the document says\n{expected}\nand printed was\n{printed}"
