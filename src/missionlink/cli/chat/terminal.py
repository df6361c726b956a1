"""The terminal: an input line at the bottom, what moves above it, and above that what has been said.

What has been said is printed once and belongs to the terminal's own scrolling. Only the input line and what stands
directly above it are drawn anew.
"""

from __future__ import annotations

import asyncio
import io
import re
import shutil
import sys
from typing import TYPE_CHECKING

from prompt_toolkit import ANSI, PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.utils import is_dumb_terminal
from rich.console import Console
from rich.markdown import Markdown
from rich.theme import Theme

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from prompt_toolkit.key_binding import KeyPressEvent
    from rich.console import RenderableType

__all__ = ("Terminal",)

# How often what moves is drawn, in seconds: a spinner needs no more, and a slow line can take it.
_REDRAW_SECONDS = 0.2

# Every printing and drawing costs milliseconds. With a pause between them an agent that does a hundred things at once
# leaves time for the person's keys.
_PAUSE_SECONDS = 0.05

# Markdown is padded to the width of the terminal; in what is kept that would wrap when it gets narrower.
_PROMPT = "> "

# Empty lines round a block, colours or not.
_EDGES = re.compile(r"\A(?:(?:\x1b\[[0-9;]*m|[ ])*\n)+|(?:\n(?:\x1b\[[0-9;]*m|[ ])*)+\Z")

# Without the backgrounds that would stand out on a light terminal.
_THEME = Theme({"markdown.code": "bold cyan", "markdown.code_block": "cyan"})

_PADDING = re.compile(r"[ ]+((?:\x1b\[[0-9;]*m)*)$", re.MULTILINE)


class Terminal:
    """A terminal in use.

    Args:
        live: Returns what stands above the input line, for a height and a width.
    """

    def __init__(self, live: Callable[[int, int], RenderableType | None]) -> None:
        self.on_interrupt: Callable[[], bool] = lambda: True
        """Called for Ctrl-C where the line is empty; says whether to leave."""
        self._live = live
        self._kept = ""
        self._asks = False
        self._is_dumb = is_dumb_terminal()
        self._reading: asyncio.Task[str | None] | None = None
        self._has_left = False
        self._next = ""
        self._unprinted = ""
        self._printing: asyncio.Future[None] | None = None
        self._drawn_above: tuple[object, ANSI] | None = None
        self._ends_empty = False
        self._label = _PROMPT
        self._session: PromptSession[str] = PromptSession(
            message=self._above,
            key_bindings=self._bindings(),
            multiline=True,
            prompt_continuation="  ",
            erase_when_done=True,
            refresh_interval=_REDRAW_SECONDS,
        )
        self._session.app.min_redraw_interval = _PAUSE_SECONDS

    async def lines(self) -> AsyncIterator[str]:
        """Yield what is typed, until the person leaves."""
        while True:
            reading = self._reading = asyncio.create_task(self._read())
            try:
                line = await reading
            except asyncio.CancelledError:
                if self._has_left:
                    return
                raise
            finally:
                self._print()
            if line is None:
                return
            yield line

    async def _read(self) -> str | None:
        while True:
            begin, self._next = self._next, ""
            try:
                return await self._session.prompt_async(default=begin)
            except EOFError:
                return None
            except KeyboardInterrupt:
                # Of terminals that can do nothing, which have no keys of ours.
                if self.on_interrupt():
                    return None

    async def show(self, parts: Sequence[RenderableType]) -> None:
        """Print something for good, above the input line, which is soon: what comes at once is printed at once."""
        if not parts:
            return
        self._unprinted += "".join(self._kept_form(part) for part in parts)
        if not self._session.app.is_running:
            self._print()
        elif self._printing is None or self._printing.done():
            self._printing = asyncio.ensure_future(self._print_above())

    async def _print_above(self) -> None:
        while self._unprinted and self._session.app.is_running:
            await run_in_terminal(self._print)
            await asyncio.sleep(_PAUSE_SECONDS)

    def _print(self) -> None:
        text, self._unprinted = self._unprinted, ""
        sys.stdout.write(text)
        sys.stdout.flush()

    def redraw(self) -> None:
        """Draw what moves, soon."""
        if self._session.app.is_running:
            self._session.app.invalidate()

    def ask(self, label: str | None) -> None:
        """Let the input line ask something; what was being typed is kept until it asks no more (``None``)."""
        buffer = self._session.default_buffer
        self._label = label or _PROMPT
        if label is None and self._asks:
            # What was typed in answer to a question that is gone is no prompt.
            self._put(self._kept)
            self._kept = ""
        elif label is not None and not self._asks:
            self._kept = buffer.text or self._next
            self._put("")
        self._asks = label is not None
        if self._is_dumb:
            # What has been asked before cannot be drawn anew.
            self._unprinted += self._label
            self._print()
        self.redraw()

    def _put(self, text: str) -> None:
        buffer = self._session.default_buffer
        buffer.reset()
        # Between two lines it would be cleared with the beginning of the next.
        self._next = "" if self._session.app.is_running else text
        buffer.insert_text("" if self._next else text)

    def leave(self) -> None:
        """End ``lines``."""
        if self._session.app.is_running:
            self._session.app.exit(exception=EOFError)
        elif self._reading is not None:
            # A terminal that can do nothing has another way of reading, which nothing but this ends.
            self._has_left = True
            self._reading.cancel()

    # Drawing.

    def _kept_form(self, part: RenderableType) -> str:
        """Draw what is printed for good: one empty line after Markdown, and where an empty text stands."""
        text = self._drawn(part, self._width())
        if isinstance(part, Markdown):
            self._ends_empty = True
            return _EDGES.sub("", text) + "\n\n"
        if not text.strip():
            text = "" if self._ends_empty else "\n"
        self._ends_empty = not text.strip()
        return text

    def _above(self) -> ANSI:
        # It is asked for several times for one drawing.
        drawing = (self._session.app.render_counter, self._label)
        if self._is_dumb:
            return ANSI(self._label)
        if self._drawn_above is None or self._drawn_above[0] != drawing:
            self._drawn_above = (drawing, self._draw_above())
        return self._drawn_above[1]

    def _draw_above(self) -> ANSI:
        size = self._session.app.output.get_size()
        width = max(size.columns - 1, 10)
        height = max(size.rows - 4, 1)
        moving = self._live(height, width)
        lines = [] if moving is None else self._drawn(moving, width).splitlines(keepends=True)
        # More than the terminal has would scroll away, and come again with every redrawing.
        above = "".join(lines[-height:])
        return ANSI(above + f"\x1b[1;36m{self._label}\x1b[0m")

    def _drawn(self, part: RenderableType, width: int) -> str:
        # The colours are those that this terminal has, as rich finds out from the environment.
        console = Console(file=io.StringIO(), width=width, force_terminal=True, highlight=False, theme=_THEME)
        with console.capture() as captured:
            console.print(part)
        return _PADDING.sub(r"\1", captured.get())

    @staticmethod
    def _width() -> int:
        return max(shutil.get_terminal_size().columns - 1, 10)

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()

        @bindings.add("enter")
        def submit(event: KeyPressEvent) -> None:
            event.current_buffer.validate_and_handle()

        @bindings.add("escape", "enter")
        def new_line(event: KeyPressEvent) -> None:
            event.current_buffer.insert_text("\n")

        @bindings.add("c-z")
        def suspend(event: KeyPressEvent) -> None:
            # Nothing where there is no such thing.
            event.app.suspend_to_background()

        @bindings.add("c-c")
        @bindings.add("<sigint>")
        def interrupt(event: KeyPressEvent) -> None:
            if event.current_buffer.text:
                event.current_buffer.reset()
            elif self.on_interrupt():
                event.app.exit(exception=EOFError)

        return bindings
