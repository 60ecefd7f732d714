"""`POST /chat/completions`: reads the conversation, has it answered, and cuts the answer up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from . import tokens
from .answers import Refused, bad_parameter, not_a_vision_model
from .inputs import Sent, read_input, upright
from .prose import thought
from .sending import Reply, reply_events, reply_json
from .shapes import Unfit
from .talk import Talk
from .work import Ask, Work
from .writing import write

MAX_TOKENS = 512
BUDGET = 4096
PICTURE_UNSEEN = 256

Message = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """One answer, cut to what the request allows."""

    index: int
    reasoning: list[str]
    content: list[str]
    finish: str

    @property
    def size(self) -> int:
        """Its tokens."""
        return len(self.reasoning) + len(self.content)


def answer(ask: Ask) -> Work:
    """Answer a conversation, in one piece or as a stream."""
    messages = ask.body["messages"]
    pictures = list(_pictures(ask, messages))
    choices = [_choose(ask, pictures, index) for index in range(ask.body.get("n", 1))]
    usage = _usage(_prompt_tokens(messages, pictures), choices)
    frame = {"id": ask.id, "created": int(ask.time), "model": ask.model.name}
    make = _stream if ask.body.get("stream") else _whole
    return Work(make(frame, choices, usage), usage["total_tokens"])


# What was asked


def parts_of(message: Message) -> list[Mapping[str, Any]]:
    """Return the parts of a message; a text is one part."""
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def text_of(message: Message) -> str:
    """Return the words of a message."""
    return "\n".join(part["text"] for part in parts_of(message) if part["type"] == "text")


def _pictures(ask: Ask, messages: list[Message]) -> Iterator[tuple[Sent, str]]:
    """Read the pictures of a conversation, each with its level of detail."""
    for number, message in enumerate(messages):
        for part in parts_of(message):
            if part["type"] != "image_url":
                continue
            if not ask.model.traits.get("vision"):
                raise Refused(not_a_vision_model())
            place = f"messages.{number}.image_url"
            sent = read_input(place, part["image_url"]["url"], ask.find)
            picture = sent.picture and upright(sent.picture)
            yield Sent(place, picture, sent.url), part["image_url"].get("detail", "auto")


def _prompt_tokens(messages: list[Message], pictures: list[tuple[Sent, str]]) -> int:
    seen = (
        tokens.count_picture(sent.picture.size, detail) if sent.picture else PICTURE_UNSEEN
        for sent, detail in pictures
    )
    return sum(tokens.count(text_of(message)) for message in messages) + sum(seen)


def _talk(ask: Ask, pictures: list[tuple[Sent, str]], index: int) -> Talk:
    messages = ask.body["messages"]
    said = [text_of(message) for message in messages if message["role"] == "user"]
    return Talk(
        system="\n".join(text_of(each) for each in messages if each["role"] == "system"),
        said=tuple(said) or ("",),
        pictures=tuple(sent for sent, _ in pictures),
        form=ask.body.get("response_format") or {"type": "text"},
        variation=f"{ask.model.name}/{ask.body.get('seed')}/{index}",
    )


# What is answered


def _choose(ask: Ask, pictures: list[tuple[Sent, str]], index: int) -> Choice:
    talk = _talk(ask, pictures, index)
    limit = ask.body.get("max_tokens", MAX_TOKENS)
    budget = min(limit, ask.body.get("thinking_budget", BUDGET))
    reasoning = tokens.split(thought(talk))[:budget] if _thinks(ask) else []
    content = tokens.split(_stopped(_write(talk), ask.body.get("stop")))
    room = limit - len(reasoning)
    return Choice(index, reasoning, content[:room], "length" if len(content) > room else "stop")


def _write(talk: Talk) -> str:
    try:
        return write(talk)
    except Unfit as error:
        raise Refused(bad_parameter(f"response_format.json_schema: {error}")) from None


def _thinks(ask: Ask) -> bool:
    way = ask.model.traits.get("thinking")
    return way == "always" or (way == "optional" and ask.body.get("enable_thinking", True))


def _stopped(text: str, stop: str | list[str] | None) -> str:
    """Cut a text before the first of the sequences at which to stop."""
    words = [stop] if isinstance(stop, str) else stop or []
    return text[: min((text.find(word) for word in words if word and word in text), default=None)]


def _usage(prompt: int, choices: list[Choice]) -> dict[str, Any]:
    written = sum(choice.size for choice in choices)
    usage: dict[str, Any] = {
        "prompt_tokens": prompt,
        "completion_tokens": written,
        "total_tokens": prompt + written,
    }
    thought = sum(len(choice.reasoning) for choice in choices)
    if thought:
        usage["completion_tokens_details"] = {"reasoning_tokens": thought}
    return usage


def _whole(frame: Message, choices: list[Choice], usage: Message) -> Reply:
    listed = [
        {"index": each.index, "message": _message(each), "finish_reason": each.finish}
        for each in choices
    ]
    content = {**frame, "object": "chat.completion", "choices": listed, "usage": usage}
    return reply_json(content)


def _message(choice: Choice) -> dict[str, str]:
    message = {"role": "assistant", "content": "".join(choice.content)}
    if choice.reasoning:
        message["reasoning_content"] = "".join(choice.reasoning)
    return message


def _stream(frame: Message, choices: list[Choice], usage: Message) -> Reply:
    events = [event for choice in choices for event in _events(choice)]
    shown = [
        {**frame, "object": "chat.completion.chunk", "choices": [event], "usage": None}
        for event in events
    ]
    shown[-1]["usage"] = usage
    return reply_events(shown)


def _events(choice: Choice) -> Iterator[dict[str, Any]]:
    """Yield a choice bit by bit: its role, what it thinks, what it says, why it ended."""
    yield _event(choice, {"role": "assistant", "content": ""})
    for token in choice.reasoning:
        yield _event(choice, {"content": None, "reasoning_content": token})
    for token in choice.content:
        yield _event(choice, {"content": token, "reasoning_content": None})
    yield _event(choice, {"content": ""}, choice.finish)


def _event(choice: Choice, delta: Message, finish: str | None = None) -> dict[str, Any]:
    return {"index": choice.index, "delta": delta, "finish_reason": finish}
