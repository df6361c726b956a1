"""Parts of a client: start-up, launch, shared context, inbound traffic and lifecycle notifications."""

__all__ = ()
