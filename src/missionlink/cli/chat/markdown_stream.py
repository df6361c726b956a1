"""Cuts Markdown that is still being written into blocks that are complete, and the rest."""

from __future__ import annotations

__all__ = ("MarkdownStream",)

_FENCES = ("```", "~~~")


class MarkdownStream:
    """One message as it comes in.

    A block ends at an empty line outside of a fence: what is complete can be printed once and for all, the rest is
    drawn anew with every piece.

    Args:
        printed: What is on the screen already, of an answer that broke off. As far as this message repeats it, it is
            not given out again.
    """

    def __init__(self, printed: str = "") -> None:
        self._text = ""
        self._printed = printed
        self._done = 0
        self._scanned = 0
        self._fence = ""
        self.has_diverged: bool = False
        """Whether the message is another one than what was printed before it; true once, when that is found."""

    @property
    def printed(self) -> str:
        """What has been given out."""
        return self._text[: self._done] or self._printed

    @property
    def tail(self) -> str:
        """What is not complete; empty while the message repeats what was printed."""
        if self._printed:
            return ""
        rest = self._text[self._done :]
        return rest if rest.strip() else ""

    @property
    def is_open_fence(self) -> bool:
        """Whether the tail is inside a fence."""
        return bool(self._fence)

    @property
    def fence(self) -> str:
        """The line that opened the fence that the tail is inside of."""
        return self._fence

    def add(self, piece: str) -> list[str]:
        """Take a piece; return the blocks that it completes."""
        self._text += piece
        return self._complete() if self._has_caught_up() else []

    def finish(self, content: str) -> list[str]:
        """Take the whole message, or nothing of one that broke off; return what of it was not given out."""
        if content and not content.startswith(self._text[: self._done]):
            # Rewritten by the runtime: what is printed stays, and the message follows.
            self._done = 0
        self._text = content or self._text
        if self._printed:
            if self._text.startswith(self._printed):
                self._done = len(self._printed)
            elif self._printed.startswith(self._text):
                self._done = len(self._text)
            self._printed = ""
        rest = self._text[self._done :]
        self._done = len(self._text)
        return [rest] if rest.strip() else []

    def _has_caught_up(self) -> bool:
        if not self._printed:
            return True
        if self._text.startswith(self._printed):
            self._done = self._scanned = len(self._printed)
            self._printed = ""
            return True
        if self._printed.startswith(self._text):
            return False
        self._printed = ""
        self.has_diverged = True
        return True

    def _complete(self) -> list[str]:
        found: list[str] = []
        while (end := self._text.find("\n", self._scanned)) >= 0:
            line = self._text[self._scanned : end]
            self._scanned = end + 1
            mark = line.strip()
            if self._fence:
                if mark[:3] == self._fence.strip()[:3] and not mark.strip("`~"):
                    self._fence = ""
            elif mark.startswith(_FENCES):
                self._fence = line
            elif not mark:
                block = self._text[self._done : self._scanned]
                self._done = self._scanned
                if block.strip():
                    found.append(block)
        return found
