"""What is asked of a prompt, here and when a graph is queued."""

from __future__ import annotations

from ..strings.text import Text
from .errors import InvalidInput


def check_prompt(prompt: str, name: str = "prompt") -> None:
    """Raise `InvalidInput` if there is nothing in the prompt, or in another text."""
    if not prompt.strip():
        raise InvalidInput(name, Text("must not be empty", "不能为空"))
