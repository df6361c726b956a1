"""Prompts that steer a turn without being one, until they have come back among the events."""

from __future__ import annotations

__all__ = ("Steering",)


class Steering:
    """The prompts of one session that steer, by their text: the events of older runtimes name none."""

    __slots__ = ("_prompts",)

    def __init__(self) -> None:
        # Each with whether it was accepted.
        self._prompts: list[tuple[str, bool]] = []

    def sent(self, prompt: str) -> None:
        """Note a prompt that belongs to the turn under way; its events may come before it is accepted."""
        self._prompts.append((prompt, False))

    def accepted(self, prompt: str) -> None:
        """Note that the runtime has taken a prompt, if it has not come back already."""
        if self.take(prompt):
            self._prompts.append((prompt, True))

    def take(self, prompt: str) -> bool:
        """Forget a prompt, which has come back or was not accepted; say whether it was known."""
        found = next((one for one in self._prompts if one[0] == prompt), None)
        if found is not None:
            self._prompts.remove(found)
        return found is not None

    def idle(self) -> None:
        """Note that what was accepted has been read or dropped."""
        self._prompts = [one for one in self._prompts if not one[1]]
