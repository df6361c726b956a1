"""The asyncio shell round the sans-IO core: transports, the connection, the router."""
