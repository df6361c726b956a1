"""The command ``missionlink``. ``main`` is its entry point; the commands are in ``commands``, one file each."""

from missionlink.cli.main import main

__all__ = ("main",)
