"""A session: how it is opened, what comes out of it, what is sent to it, how it ends."""

__all__ = ()
