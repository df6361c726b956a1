"""The runtime as a child process: spawning, ownership, standard output, shutdown."""

__all__ = ()
