"""The runtime asks, the program's functions answer: one module for each kind of question.

Nothing here knows a session: a question comes in as raw JSON, the answer goes out as what the protocol wants.
"""

__all__ = ()
