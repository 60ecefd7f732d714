"""`POST /chat/completions`: an answer that repeats what was said and tells what was shown.

The same request gets the same answer. Where JSON is asked for, the answer is JSON.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .drawing import Sent
from .images import describe, read_image
from .models import TOKEN, Call, Result, Usage, count_image_tokens, count_tokens
from .responses import Refused, Reply, bad_parameter, event_reply, json_reply

MAX_TOKENS, BUDGET = 512, 4096
IMAGE_UNSEEN = 256
LISTED = 3
NEWER = ("enable_thinking", "thinking_budget", "reasoning_effort", "min_p")
WAYS = ("anyOf", "oneOf", "allOf")
BRACKET = re.compile(r"[\[{]")
JSON_WORD = re.compile(r"\bjson\b", re.IGNORECASE)
Message = Mapping[str, Any]


@dataclass(frozen=True)
class Choice:
    """One answer, cut to what the request allows."""

    index: int
    reasoning: list[str]
    content: list[str]
    finish: str


def answer(call: Call) -> Result:
    """Answer a conversation, in one piece or as a stream."""
    _check_thinking(call)
    messages = call.body["messages"]
    shown = list(_images(call, messages))
    prompt = sum(count_tokens(_text(message)) for message in messages)
    for sent, detail in shown:
        prompt += count_image_tokens(sent.image.size, detail) if sent.image else IMAGE_UNSEEN
    longest = call.model.traits.get("context", prompt)
    if call.state.day.has("thinking-parameters") and prompt > longest:
        words = f"number of input tokens ({prompt}) has exceeded max_prompt_tokens ({longest})"
        raise Refused(bad_parameter(f"{words} limit."))
    images = [sent for sent, _ in shown]
    choices = [_choose(call, images, index) for index in range(call.body.get("n", 1))]
    thought = sum(len(choice.reasoning) for choice in choices)
    written = thought + sum(len(choice.content) for choice in choices)
    usage = _usage(prompt, written, thought)
    created = int(call.state.clock())
    frame = {"id": call.trace_id, "created": created, "model": call.model.name}
    stream = bool(call.body.get("stream"))
    every = call.state.reported
    reply = _stream(frame, choices, usage, every=every) if stream else _whole(frame, choices, usage)
    return Result(lambda _: reply, Usage(input_tokens=prompt, output_tokens=written), stream=stream)


def _check_thinking(call: Call) -> None:
    """Raise Refused for newer parameters that the model does not have."""
    if not call.state.day.has("thinking-parameters") or "source" not in call.model.traits:
        return
    thinks, efforts = (call.model.traits.get(name) for name in ("thinking", "effort"))
    known = call.body.get("reasoning_effort") in (efforts or [])
    taken = thinks == "optional", thinks, known, "Qwen/Qwen3" in call.model.name
    for name, is_taken in zip(NEWER, taken, strict=True):
        if name in call.body and not is_taken:
            words = f"{call.model.name} does not support parameter `{name}`."
            raise Refused(bad_parameter(f"Value error, {words}"))


def _parts(message: Message) -> list[Mapping[str, Any]]:
    content = message["content"]
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _text(message: Message) -> str:
    return "\n".join(part["text"] for part in _parts(message) if part["type"] == "text")


def _images(call: Call, messages: list[Message]) -> Iterator[tuple[Sent, str]]:
    """Yield what is shown in a conversation, with its level of detail; videos are not opened."""
    for number, message in enumerate(messages):
        for part in _parts(message):
            kind = part["type"]
            if kind == "text":
                continue
            if not call.model.traits.get("vision"):
                words = "is not a VLM (Vision Language Model). Please use text-only prompts."
                raise Refused(bad_parameter(f"The model {words}", code=20041))
            place, url = f"messages.{number}.{kind}", part[kind]["url"]
            shown = Sent(place, None, f"{kind} {url[:80]}")
            sent = read_image(call.state, place, url) if kind == "image_url" else shown
            yield sent, part[kind].get("detail", "auto")


def _choose(call: Call, images: list[Sent], index: int) -> Choice:
    body, thinking = call.body, call.model.traits.get("thinking")
    limit = body.get("max_tokens", MAX_TOKENS)
    reasoning: list[str] = []
    if thinking == "always" or (thinking == "optional" and body.get("enable_thinking", True)):
        said = f'The user says "{_last(body)}" and shows {len(images)} images. I repeat it.'
        reasoning = TOKEN.findall(said)[: min(limit, body.get("thinking_budget", BUDGET))]
    text, stop = _write(body, images, index), body.get("stop") or []
    words = [stop] if isinstance(stop, str) else stop
    text = text[: min((text.find(word) for word in words if word and word in text), default=None)]
    content, room = TOKEN.findall(text), limit - len(reasoning)
    return Choice(index, reasoning, content[:room], "length" if len(content) > room else "stop")


def _last(body: Mapping[str, Any]) -> str:
    said = [_text(message) for message in body["messages"] if message["role"] == "user"]
    return said[-1].strip() if said else ""


def _write(body: Mapping[str, Any], images: list[Sent], index: int) -> str:
    """Return what was said and shown; as JSON when a format, the user or the system asks for it."""
    said = _last(body)
    turn = sum(message["role"] == "user" for message in body["messages"])
    facts = [f'This is the local simulator\'s answer to: "{said}".']
    facts += [f"It is message {turn} of yours."] * (turn > 1)
    facts += [f"Image {at}: {describe(sent)}." for at, sent in enumerate(images, 1)]
    facts += [f"Seed {body.get('seed')}."] * ("seed" in body)
    facts += [f"Choice {index + 1}."] * (index > 0)
    reply, form = " ".join(facts), body.get("response_format") or {"type": "text"}
    rules = "\n".join(_text(each) for each in body["messages"] if each["role"] != "assistant")
    if form["type"] == "json_schema":
        try:
            content = _fit(form["json_schema"]["schema"], form["json_schema"]["schema"], reply)
        except (LookupError, TypeError, AttributeError, ArithmeticError, RecursionError) as error:
            words = f"response_format.json_schema: nothing fits it ({error!r:.100})"
            raise Refused(bad_parameter(words)) from None
    elif form["type"] == "json_object" or JSON_WORD.search(rules):
        content = _like_example(rules, said) or {"answer": reply}
    else:
        return reply
    return json.dumps(content, ensure_ascii=False)


def _like_example(rules: str, text: str) -> Any:
    """Return JSON in the form of the first example in a request, each text of it numbered."""
    numbers = itertools.count(1)

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: fill(each) for name, each in value.items()}
        if isinstance(value, list):
            return [fill(each) for each in value]
        return f"{text} ({next(numbers)})" if isinstance(value, str) else value

    for start in (match.start() for match in BRACKET.finditer(rules)):
        with contextlib.suppress(ValueError):
            return fill(json.JSONDecoder().raw_decode(rules, start)[0])
    return None


def _fit(schema: Mapping[str, Any], root: Mapping[str, Any], text: str, number: int = 0) -> Any:
    """Return a value that fits a part of a JSON Schema; any error means that nothing does."""
    found: Any = next((schema[way][0] for way in WAYS if way in schema), None)
    if "$ref" in schema:
        found = root
        for step in schema["$ref"].removeprefix("#").strip("/").split("/"):
            found = found[step] if step else found
    if found is not None:
        return _fit(found, root, text, number)
    if "const" in schema or "enum" in schema:
        allowed = schema.get("enum") or [schema["const"]]
        return allowed[number % len(allowed)]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    kind = kind[0] if isinstance(kind, list) else kind
    if kind == "object":
        names = schema.get("properties", {})
        return {name: _fit(each, root, text, number) for name, each in names.items()}
    if kind == "array":
        count = max(schema.get("minItems", 0), min(LISTED, schema.get("maxItems", LISTED)))
        items = schema.get("items", {"type": "string"})
        return [_fit(items, root, text, at) for at in range(count)]
    least = max(number + 1, schema.get("minimum", number + 1))
    whole = min(least, schema.get("maximum", least))
    plain = {"integer": whole, "number": whole, "boolean": True, "null": None}
    return plain.get(kind, text[: schema.get("maxLength")])


def _usage(prompt: int, written: int, reasoning: int) -> dict[str, Any]:
    usage: dict[str, Any] = {"prompt_tokens": prompt, "completion_tokens": written}
    usage["total_tokens"] = prompt + written
    details = {"completion_tokens_details": {"reasoning_tokens": reasoning}}
    return {**usage, **details} if reasoning else usage


def _whole(frame: Message, choices: list[Choice], usage: Message) -> Reply:
    listed = []
    for each in choices:
        message = {"role": "assistant", "content": "".join(each.content)}
        if each.reasoning:
            message["reasoning_content"] = "".join(each.reasoning)
        listed.append({"index": each.index, "message": message, "finish_reason": each.finish})
    content = {**frame, "object": "chat.completion", "choices": listed, "usage": usage}
    return json_reply(content)


def _stream(frame: Message, choices: list[Choice], usage: Message, *, every: bool) -> Reply:
    """Return a stream: what was used comes with the last chunk, or with every one."""
    chunks: list[dict[str, Any]] = []
    written = 0
    for choice, delta, finish in ((each, *some) for each in choices for some in _deltas(each)):
        written += bool(delta.get("reasoning_content") or delta.get("content"))
        event = {"index": choice.index, "delta": delta, "finish_reason": finish}
        so_far = _usage(usage["prompt_tokens"], written, 0) if every else None
        chunk = {**frame, "object": "chat.completion.chunk", "choices": [event], "usage": so_far}
        chunks.append(chunk)
    chunks[-1]["usage"] = usage
    return event_reply(chunks)


def _deltas(choice: Choice) -> Iterator[tuple[dict[str, Any], str | None]]:
    """Yield an answer bit by bit: its role, what it thinks, what it says, why it ended."""
    yield {"role": "assistant", "content": ""}, None
    for token in choice.reasoning:
        yield {"content": None, "reasoning_content": token}, None
    for token in choice.content:
        yield {"content": token, "reasoning_content": None}, None
    yield {"content": ""}, choice.finish
