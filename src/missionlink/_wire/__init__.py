"""Sans-IO core of the connection: bytes and messages in, decisions out.

Nothing here knows an event loop, a clock, a socket or a lock. Time comes in as an argument (seconds, monotonic).
The same classes serve the client and the fake runtime of the test kit.
"""
