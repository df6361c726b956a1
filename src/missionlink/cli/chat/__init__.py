"""``missionlink chat``: what the agent says becomes a picture, what the person types becomes prompts and answers."""

__all__ = ()
