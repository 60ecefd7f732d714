"""What the simulated chat models say: no thoughts of their own, but an answer to what was asked.

The same request gets the same answer. Every answer holds something of the request, so that a
reader, or a test, sees what arrived.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from .prose import VIEWS, description, prompt, reply, scenes, translation
from .shapes import fill
from .talk import JSON_WORD, PROMPT, SCENES, TRANSLATE, Talk

HOLDER = re.compile(r"scenes|shots|panels|prompts|frames|storyboard|list|items", re.IGNORECASE)
TITLE = re.compile(r"title|name|heading", re.IGNORECASE)
NUMBER = re.compile(r"number|index|^id$", re.IGNORECASE)

_WRITERS: tuple[tuple[Callable[[Talk], object], Callable[[Talk], str]], ...] = (
    (lambda talk: TRANSLATE.search(talk.orders), translation),
    (lambda talk: talk.pictures, description),
    (lambda talk: PROMPT.search(talk.orders), prompt),
    (lambda _: True, reply),
)


def write(talk: Talk) -> str:
    """Answer a conversation, in JSON when it asks for that."""
    form = talk.form["type"]
    if form == "json_schema":
        return _dump(fill(talk.form["json_schema"]["schema"], Values(talk)))
    if form == "json_object" or JSON_WORD.search(talk.orders):
        return _dump(_listed(talk) if SCENES.search(talk.orders) else _object(talk))
    return next(writer(talk) for wanted, writer in _WRITERS if wanted(talk))


def _dump(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)


def _listed(talk: Talk) -> Any:
    """List scenes: as texts, or as objects when the request names their fields.

    The list stands alone, unless an object was demanded or the request names the list itself.
    """
    values = Values(talk)
    holder = next((name for name in talk.keys if HOLDER.fullmatch(name)), "")
    fields = [name for name in talk.keys if name != holder]
    listed: list[Any] = values.scenes
    if fields:
        numbers = range(values.count)
        listed = [{name: values.find(name, "string", at) for name in fields} for at in numbers]
    if holder or talk.form["type"] == "json_object":
        return {holder or "scenes": listed}
    return listed


def _object(talk: Talk) -> dict[str, Any]:
    values = Values(talk)
    if talk.keys:
        return {name: values.find(name, "string", 0) for name in talk.keys}
    return {
        "answer": values.anything,
        "pictures": len(talk.pictures),
        "language": talk.language,
    }


class Values:
    """Finds what to put into the fields of a JSON answer."""

    def __init__(self, talk: Talk) -> None:
        """Answer this conversation."""
        self.talk = talk
        self.scenes = scenes(talk)
        self.count = len(self.scenes)
        self.anything = description(talk) if talk.pictures else reply(talk)

    def find(self, name: str, kind: str, number: int) -> Any:
        """Find a value by the field's name, its type, and its place in a list."""
        if kind in {"integer", "number"} or NUMBER.search(name):
            return number + 1
        if kind == "boolean":
            return bool(self.talk.pictures)
        if TITLE.search(name):
            views = VIEWS[self.talk.language]
            return f"{number + 1}. {views[number % len(views)]}"
        if SCENES.search(self.talk.orders) or PROMPT.search(name):
            return self.scenes[number % self.count]
        return self.anything
