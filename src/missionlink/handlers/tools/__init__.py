"""Client tools: definition, schema, context, execution and results."""

__all__ = ()
