"""Chat: inputs to one request with its images, the streamed answer to texts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from ..comfyui.host import Caller
from ..engine.endpoint import ApiRequest, ApiResult, Endpoint, OnText, json_kind
from ..engine.job import Plan, Results, plan_of_bodies
from ..engine.progress import start_of
from ..engine.run import Inputs, run
from ..engine.threads import CPU
from ..engine.uploads import scaled_note
from ..media.data_urls import Encoded, encode
from ..siliconflow import catalogue
from ..siliconflow.catalogue import Model, chosen_model, extra_body, require_text, set_values
from ..siliconflow.client import Client
from ..siliconflow.errors import InvalidInput
from ..siliconflow.resources import chat as chat_api
from ..siliconflow.resources.chat import Completion
from ..storage.ledger import ResponseMetadata
from ..storage.settings import Settings
from ..strings.text import Text, text
from .image_inputs import require_image

TASK = "chat"
IMAGE_INPUTS = ("image", "image2", "image3", "image4")
FIELDS = ("max_tokens", "temperature", "top_p", "top_k", "frequency_penalty", "seed")
JSON_FORMATS = frozenset({"json_object", "json_schema"})
_READABLE = ("prompt", "text", "description")
"""The fields of an object that are meant to be read, where it has several."""
_RESERVED = frozenset({"model", "messages", "stream", "seed", "stop", "n"})
_USUAL_REASONS = frozenset({"", "stop", "eos", "length"})
_FENCE = re.compile(r"^```\w*\n(.*?)\n?```[ \t]*$", re.DOTALL | re.MULTILINE)
_ESCAPES = {"\\n": "\n", "\\t": "\t"}
Message = Mapping[str, Any]
Outputs = tuple[str, list[str], str, "Conversation", str]


@dataclass(frozen=True)
class Conversation:
    """The messages so far. As text it is readable, and shows no image's data."""

    messages: tuple[Message, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        """Return who said what."""
        return "\n\n".join(
            f"{item['role']}: {_words_of(item['content'])}" for item in self.messages
        )

    @property
    def has_images(self) -> bool:
        """Whether a message holds an image."""
        return any(not isinstance(message["content"], str) for message in self.messages)

    def followed_by(self, *messages: Message) -> Conversation:
        """Return the conversation with more messages at its end."""
        return Conversation((*self.messages, *messages))


async def chat(inputs: Inputs, caller: Caller) -> Outputs:
    """Return the outputs of the Chat node: text, texts, reasoning, conversation, info (JSON)."""
    return await run(TASK, inputs, caller, partial(plan_chat, inputs), chat_outputs)


def plan_chat(inputs: Inputs, settings: Settings) -> Plan:
    """Check all inputs, and return the plan of one request. Raises `InvalidInput`."""
    model = chosen_model(TASK, inputs, settings.site)
    images = {name: inputs[name] for name in IMAGE_INPUTS if inputs.get(name) is not None}
    require_text(str(inputs.get("prompt", "")), "prompt")
    earlier = _earlier(inputs)
    name = next(iter(images), "conversation" if earlier.has_images else "")
    if name and model.listed and not model.images:
        other = next(item.id for item in catalogue.load().of_task(TASK) if item.sees)
        raise InvalidInput(name, text("task.sees_no_images", model=model.id, other=other))
    extra = extra_body(inputs, _RESERVED)
    encoded = _encode(model, images, settings)
    conversation = earlier.followed_by(_question(inputs, list(encoded.values())))
    body = {
        "model": model.id,
        "messages": list(conversation.messages),
        **model.arguments(set_values(inputs, FIELDS)),
        **_stop(model, str(inputs.get("stop", ""))),
        **_response_format(str(inputs.get("response_format", "text"))),
        **extra,
    }
    notes = [scaled_note(name, image) for (name, _), image in encoded.items() if image.scaled_from]
    return plan_of_bodies(model, [body], ENDPOINT, notes=notes)


def chat_outputs(results: Results) -> tuple[Text, Outputs]:
    """Return the line that the node shows, and its outputs.

    Raises `Unusable` for an answer without a text, and for one that is not the JSON asked for.
    """
    [completion] = results.items
    body = results.plan.requests[0].body
    _check_answer(results, completion, body)
    answer = {"role": "assistant", "content": completion.text}
    conversation = Conversation(tuple(body["messages"])).followed_by(answer)
    info = results.info(finish_reason=completion.finish_reason, usage=completion.usage)
    tokens = completion.usage.get("total_tokens", 0)
    line = text(
        "run.chat_done",
        seconds=f"{results.seconds:.1f}",
        tokens=text("run.tokens", n=tokens) if tokens else "",
        start=start_of(completion.text),
    )
    outputs = (completion.text, parts_of(completion.text), completion.reasoning, conversation, info)
    return line, outputs


def parts_of(answer: str) -> list[str]:
    """Return an answer as a list: the items of the list in its JSON, else its lines.

    The JSON may stand between words, if it is fenced in as code. Of an empty list comes one empty
    text, at which a node that paints stops unpaid.
    """
    try:
        items = _items_of(_parse_json(answer))
    except (ValueError, RecursionError):
        items = answer.splitlines()
    parts = [_as_text(item).strip() for item in items if item is not None]
    return [part for part in parts if part] or [""]


def _parse_json(answer: str) -> Any:
    """Return the JSON of an answer. Raises `ValueError` if it is none."""
    fenced = _FENCE.findall(answer)
    return json.loads(fenced[0] if len(fenced) == 1 else answer)


def _items_of(value: Any) -> list[Any]:
    """Return the longest list in a JSON value, else the values of an object without any."""
    lists = _lists_in(value)
    if lists:
        return max(lists, key=lambda items: len(_dump(items)))
    return list(value.values()) if isinstance(value, dict) else [value]


def _lists_in(value: Any) -> list[list[Any]]:
    """Return the lists in a JSON value; one within another is part of that."""
    if isinstance(value, list):
        return [value]
    if not isinstance(value, dict):
        return []
    return [items for member in value.values() for items in _lists_in(member)]


def _as_text(item: Any) -> str:
    """Return an item as text: of an object its one value, or what is meant to be read."""
    if isinstance(item, dict):
        readable = [item[name] for name in _READABLE if isinstance(item.get(name), str)]
        item = [*readable, *item.values()][0] if readable or len(item) == 1 else item
    return item if isinstance(item, str) else _dump(item)


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _check_answer(results: Results, completion: Completion, body: Mapping[str, Any]) -> None:
    """Note what is doubtful of an answer. Raises `Unusable` for what no node could use."""
    max_tokens = body.get("max_tokens", "")
    if completion.finish_reason == "length":
        results.note(text("task.answer_cut_off", max_tokens=max_tokens))
    if not completion.text.strip():
        raise results.unusable(text("task.only_reasoning", reasoning=completion.reasoning))
    if completion.finish_reason not in _USUAL_REASONS:
        results.note(text("task.ended_by", reason=completion.finish_reason))
    try:
        lists = _lists_in(_parse_json(completion.text))
    except (ValueError, RecursionError):
        wanted = body.get("response_format")
        if isinstance(wanted, dict) and wanted.get("type") in JSON_FORMATS:
            raise results.unusable(
                text("task.answer_not_json", max_tokens=max_tokens, answer=completion.text)
            ) from None
        return
    if len(lists) > 1:
        first = parts_of(completion.text)[0][:60]
        results.note(text("task.several_lists", n=len(lists), first=first))
    elif lists == [[]]:
        results.note(text("task.empty_list"))


def _complete(client: Client, request: ApiRequest, on_text: OnText) -> ApiResult:
    completion = chat_api.complete(client, request.body, on_text)
    return ApiResult(
        [completion], ResponseMetadata(completion.trace_id, seconds=completion.seconds)
    )


ENDPOINT = Endpoint(chat_api.PATH, json_kind("text", Completion), _complete, "answer")


def _earlier(inputs: Inputs) -> Conversation:
    """Return the conversation so far, with the system prompt of now in front."""
    earlier = inputs.get("conversation") or Conversation()
    if not isinstance(earlier, Conversation):
        raise InvalidInput("conversation", text("task.not_a_conversation"))
    system = str(inputs.get("system_prompt", "")).strip()
    if not system:
        return earlier
    without_system = (message for message in earlier.messages if message["role"] != "system")
    return Conversation(({"role": "system", "content": system}, *without_system))


def _question(inputs: Inputs, images: Sequence[Encoded]) -> Message:
    prompt, detail = str(inputs["prompt"]), str(inputs.get("detail", "auto"))
    parts = [
        {"type": "image_url", "image_url": {"url": image.url.decode(), "detail": detail}}
        for image in images
    ]
    return {
        "role": "user",
        "content": [*parts, {"type": "text", "text": prompt}] if parts else prompt,
    }


def _encode(
    model: Model, images: Mapping[str, torch.Tensor], settings: Settings
) -> dict[tuple[str, int], Encoded]:
    """Encode every frame, by input and number, in their order."""
    for name, image in images.items():
        require_image(name, image)
    with CPU:
        return {
            (name, place): encode(
                frame, model.upload, settings.upload_format, settings.upload_side**2
            )
            for name, image in images.items()
            for place, frame in enumerate(image)
        }


def _stop(model: Model, lines: str) -> dict[str, list[str]]:
    """Return the texts that end the answer, one a line; a line break is written as `\\n`."""
    ends = [_unescape(line) for line in lines.splitlines() if line]
    limit = model.limits.get("stop", len(ends))
    if len(ends) > limit:
        raise InvalidInput("stop", text("task.too_many_lines", n=len(ends), limit=limit))
    return {"stop": ends} if ends else {}


def _unescape(line: str) -> str:
    for escape, character in _ESCAPES.items():
        line = line.replace(escape, character)
    return line


def _response_format(chosen: str) -> dict[str, Any]:
    return {} if chosen == "text" else {"response_format": {"type": chosen}}


def _words_of(content: str | Sequence[Mapping[str, Any]]) -> str:
    """Return the words of a message, and a sign for each image."""
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "[image]")) for part in content)
