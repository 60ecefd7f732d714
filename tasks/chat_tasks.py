"""Chat: inputs to one request with its images, the streamed answer to texts."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch

from ..comfyui.host import Caller
from ..engine.endpoint import ApiRequest, ApiResult, Endpoint, OnText, json_kind
from ..engine.job import Frames, ImageLimits, Plan, PlannedRequest, Results, with_usable_seed
from ..engine.progress import start_of
from ..engine.run import Inputs, run
from ..siliconflow import catalogue
from ..siliconflow.catalogue import (
    Model,
    Usage,
    Value,
    chosen_model,
    extra_body,
    json_object,
    merged,
    require_text,
    set_values,
)
from ..siliconflow.client import Client
from ..siliconflow.errors import BadRequest, InvalidInput
from ..siliconflow.http.bodies import read_integer
from ..siliconflow.model_advice import refused_field
from ..siliconflow.resources import chat as chat_api
from ..siliconflow.resources.chat import Completion
from ..storage.ledger import ResponseMetadata
from ..storage.settings import Settings
from ..strings.text import Text, text
from .image_inputs import require_image, tokens_at_most

TASK = "chat"
OWN_MAX_TOKENS = 16_384
"""How long an answer is expected to be at most where the model has its own bound."""
UNSEEN_TOKENS = 64
"""Marks and white space of an answer that are not in its text."""
IMAGE_INPUTS = ("image", "image2", "image3", "image4")
THINKING = "enable_thinking"
THINKING_DEPTH = frozenset({"thinking_budget", "reasoning_effort"})
FIELDS = (
    "max_tokens",
    "temperature",
    "top_p",
    "top_k",
    "frequency_penalty",
    "seed",
    THINKING,
    "thinking_budget",
    "reasoning_effort",
    "min_p",
)
JSON_FORMATS = frozenset({"json_object", "json_schema"})
_READABLE = ("prompt", "text", "description")
"""The fields of an object that are meant to be read, where it has several."""
_RESERVED = frozenset({"model", "messages", "stream", "seed", "stop", "n"})
_COMPLETE = frozenset({"", "stop", "eos"})
_USUAL_REASONS = _COMPLETE | {"length"}
_FENCE = re.compile(r"^```\w*\n(.*?)\n?```[ \t]*$", re.DOTALL | re.MULTILINE)
_ESCAPES = {"\\n": "\n", "\\t": "\t"}
Message = Mapping[str, Any]
Outputs = tuple[str, list[str], str, "Conversation", str]


@dataclass(frozen=True)
class Conversation:
    """The messages so far. As text it is readable, and shows no image's data.

    `images` holds, by the name that stands in a message for its URL, each image `[1,H,W,C]`.
    """

    messages: tuple[Message, ...] = field(default=(), repr=False)
    images: Mapping[str, Frames] = field(default_factory=dict, repr=False, compare=False)

    def __str__(self) -> str:
        """Return who said what."""
        return "\n\n".join(
            f"{item['role']}: {_words_of(item['content'])}" for item in self.messages
        )

    def followed_by(
        self, message: Message, images: Mapping[str, Frames] | None = None
    ) -> Conversation:
        """Return the conversation with one more message, and its images, at its end."""
        return Conversation((*self.messages, message), {**self.images, **(images or {})})


@dataclass(frozen=True)
class _Frame:
    """An image `[1,H,W,C]` of the question: its input, and its number there."""

    input: str
    number: int
    image: torch.Tensor


async def chat(inputs: Inputs, caller: Caller) -> Outputs:
    """Return the outputs of the Chat node: text, texts, reasoning, conversation, info (JSON)."""
    return await run(TASK, inputs, caller, partial(plan_chat, inputs), chat_outputs)


def plan_chat(inputs: Inputs, settings: Settings) -> Plan:
    """Check all inputs, and return the plan of one request. Raises `InvalidInput`."""
    model = chosen_model(TASK, inputs, settings.site)
    images = {name: inputs[name] for name in IMAGE_INPUTS if inputs.get(name) is not None}
    require_text(str(inputs.get("prompt", "")), "prompt")
    earlier = _earlier(inputs)
    name = next(iter(images), "conversation" if earlier.images else "")
    if name and model.listed and not model.images:
        other = next(item.id for item in catalogue.load().of_task(TASK) if item.sees)
        raise InvalidInput(name, text("task.sees_no_images", model=model.id, other=other))
    inputs, notes = with_usable_seed(inputs)
    values = set_values(inputs, FIELDS)
    not_sent = model.not_sent(values)
    if not_sent:
        notes.append(text("task.fields_not_sent", model=model.id, names=", ".join(not_sent)))
    if model.listed and THINKING in model.fields and values.get(THINKING) == "off":
        without = sorted(THINKING_DEPTH & values.keys() & model.fields.keys())
        values = {name: value for name, value in values.items() if name not in without}
        if without:
            notes.append(text("task.thinking_off", names=", ".join(without)))
            not_sent = sorted([*not_sent, *without])
    names = (f"image {place}" for place in itertools.count(len(earlier.images) + 1))
    frames = dict(zip(names, _frames(images, _max_images(inputs), notes), strict=False))
    conversation = earlier.followed_by(
        _question(str(inputs["prompt"]), frames, str(inputs.get("detail", "auto"))),
        {name: frame.image for name, frame in frames.items()},
    )
    response_format, arguments = _response_format(inputs), _arguments(model, values)
    extra = extra_body(inputs, _RESERVED | response_format.keys())
    body = {
        "model": model.id,
        "messages": list(conversation.messages),
        **arguments,
        **_stop(model, str(inputs.get("stop", ""))),
        **response_format,
    }
    body = merged(body, extra)
    bound = arguments.get("max_tokens")
    is_default = bound == catalogue.load().inputs["max_tokens"].default
    if model.thinking == "always" and is_default and "thinking_budget" not in body:
        notes.append(text("task.reasons_within", model=model.id, max_tokens=bound))
    return Plan(
        model,
        (PlannedRequest(0, 1, int(body.get("seed", 0)), body),),
        ENDPOINT,
        images=conversation.images,
        input_names={
            **dict.fromkeys(earlier.images, "conversation"),
            **{name: frame.input for name, frame in frames.items()},
        },
        first_frames={name: frame.number for name, frame in frames.items()},
        image_limits=_image_limits(model, conversation),
        not_sent=not_sent,
        notes=notes,
        mend=partial(_without_refused, arguments.keys() - values.keys() - extra.keys()),
    )


def _without_refused(
    defaults: AbstractSet[str], error: BadRequest, body: Mapping[str, Any]
) -> tuple[dict[str, Any], Text] | None:
    """Return a request without the field that its model refused, if only a default sent it."""
    name = refused_field(error)
    if name not in defaults:
        return None
    left = {field: value for field, value in body.items() if field != name}
    return left, text("run.sent_without", field=name, model=body["model"])


def chat_outputs(results: Results) -> tuple[Text, Outputs]:
    """Return the line that the node shows, and its outputs.

    Raises `Unusable` for an answer without a text, and for one that is not the JSON asked for.
    """
    body = results.plan.requests[0].body
    completion = _checked(results, results.items[0], body)
    answer = {"role": "assistant", "content": completion.text}
    asked = Conversation(tuple(body["messages"]), results.plan.images)
    conversation = asked.followed_by(answer)
    info = results.info(
        finish_reason=completion.finish_reason,
        usage=completion.usage,
        uploads=list(results.uploads),
    )
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


def _checked(results: Results, completion: Completion, body: Mapping[str, Any]) -> Completion:
    """Return an answer, with a note of what is doubtful.

    Raises `Unusable` for what no node could use.
    """
    max_tokens = _max_tokens(body)
    if completion.finish_reason == "length":
        results.note(text("task.answer_cut_off", max_tokens=max_tokens))
    if not completion.text.strip():
        if body.get(THINKING) is not False or completion.finish_reason not in _COMPLETE:
            raise results.unusable(_only_reasoning(completion, body))
        # Seen in the wild (service-2026): the whole answer came as reasoning with thinking off.
        results.note(text("task.answer_as_reasoning"))
        completion = replace(completion, text=completion.reasoning, reasoning="")
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
        return completion
    if len(lists) > 1:
        first = parts_of(completion.text)[0][:60]
        results.note(text("task.several_lists", n=len(lists), first=first))
    elif lists == [[]]:
        results.note(text("task.empty_list"))
    return completion


def _only_reasoning(completion: Completion, body: Mapping[str, Any]) -> Text:
    key = (
        "task.reasoning_cut_off" if completion.finish_reason == "length" else "task.only_reasoning"
    )
    return text(key, max_tokens=_max_tokens(body), reasoning=completion.reasoning)


def _max_tokens(body: Mapping[str, Any]) -> Any:
    return body.get("max_tokens") or text("task.own_max_tokens")


def _complete(client: Client, request: ApiRequest, on_text: OnText) -> ApiResult:
    messages = [_with_urls(message, request.data_urls) for message in request.body["messages"]]
    completion = chat_api.complete(client, {**request.body, "messages": messages}, on_text)
    metadata = ResponseMetadata(completion.trace_id, seconds=completion.seconds)
    names = {"input": "prompt_tokens", "output": "completion_tokens"}
    used = {
        rate: completion.usage[name] for rate, name in names.items() if name in completion.usage
    }
    said = used.keys() >= names.keys()
    if "output" not in used:  # a token has a byte at least
        written = len(f"{completion.text}{completion.reasoning}".encode())
        used["output"] = written + UNSEEN_TOKENS
    return ApiResult([completion], metadata, used, is_estimate=not said)


def _usage(body: Mapping[str, Any]) -> Usage:
    """Return what a conversation uses at most."""
    contents = [message["content"] for message in body["messages"]]
    images = sum(
        "image_url" in part
        for content in contents
        if not isinstance(content, str)
        for part in content
    )
    bounds = [read_integer(body.get(name)) for name in ("max_tokens", "thinking_budget")]
    written = (bounds[0] or OWN_MAX_TOKENS) + (bounds[1] or 0)
    return {"input": tokens_at_most(map(_words_of, contents), images), "output": written}


def _with_urls(message: Message, data_urls: Mapping[str, bytes]) -> Message:
    """Return a message with its images in place of their names."""
    if isinstance(message["content"], str):
        return message
    parts = [
        {**part, "image_url": {**image, "url": data_urls[image["url"]].decode()}}
        if (image := part.get("image_url"))
        else part
        for part in message["content"]
    ]
    return {**message, "content": parts}


ENDPOINT = Endpoint(chat_api.PATH, json_kind("text", Completion), _complete, "answer", usage=_usage)


def _earlier(inputs: Inputs) -> Conversation:
    """Return the conversation so far, with the system prompt of now in front."""
    earlier = inputs.get("conversation") or Conversation()
    if not isinstance(earlier, Conversation):
        raise InvalidInput("conversation", text("task.not_a_conversation"))
    system = str(inputs.get("system_prompt", "")).strip()
    if not system:
        return earlier
    without_system = (message for message in earlier.messages if message["role"] != "system")
    return Conversation(({"role": "system", "content": system}, *without_system), earlier.images)


def _frames(
    images: Mapping[str, torch.Tensor], max_images: int, notes: list[Text]
) -> Iterator[_Frame]:
    """Yield the frames of each input, in order: of a longer batch so many, evenly spaced."""
    for name, batch in images.items():
        require_image(name, batch)
        count = batch.shape[0]
        kept = min(count, max_images or count)
        numbers = [place * (count - 1) // max(kept - 1, 1) for place in range(kept)]
        if kept < count:
            notes.append(text("task.frames_taken", input=name, n=kept, of=count))
        # A copy where frames are left out: the conversation does not hold the whole batch.
        image = batch[numbers] if kept < count else batch
        yield from (_Frame(name, at, image[i : i + 1]) for i, at in enumerate(numbers))


def _max_images(inputs: Inputs) -> int:
    field = catalogue.load().inputs["max_images"]
    return int(field.check(inputs.get(field.name, field.default)))


def _image_limits(model: Model, conversation: Conversation) -> ImageLimits:
    """Return what bounds the images: less where the model is to look at none of them closely."""
    limits = model.limits
    contents = [message["content"] for message in conversation.messages]
    parts = [part for content in contents if not isinstance(content, str) for part in content]
    is_low = all(part["image_url"]["detail"] == "low" for part in parts if "image_url" in part)
    pixels = limits.get("pixels", 0)
    return ImageLimits(
        limits.get("pixels_low", pixels) if is_low else pixels,
        limits.get("pixels_least", 0),
        limits.get("side_step", 1),
        limits.get("request_bytes", 0),
    )


def _question(prompt: str, images: Iterable[str], detail: str) -> Message:
    """Return a message with the images of these names."""
    parts = [{"type": "image_url", "image_url": {"url": name, "detail": detail}} for name in images]
    return {
        "role": "user",
        "content": [*parts, {"type": "text", "text": prompt}] if parts else prompt,
    }


def _arguments(model: Model, values: Mapping[str, Value]) -> dict[str, Value]:
    """Return the fields that are sent; whoever sets how long the model thinks wants it to think."""
    values = dict(values)
    if THINKING in values and not model.listed:
        values[THINKING] = catalogue.load().inputs[THINKING].check(values[THINKING])
    if values.keys() & THINKING_DEPTH & model.fields.keys():
        values.setdefault(THINKING, "on")
    sent = model.arguments(values)
    budget, max_tokens = (int(sent.get(name, 0)) for name in ("thinking_budget", "max_tokens"))
    if budget >= max_tokens > 0:
        reason = text("task.budget_too_large", budget=budget, max_tokens=max_tokens)
        raise InvalidInput("thinking_budget", reason)
    return sent


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


def _response_format(inputs: Inputs) -> dict[str, Any]:
    """Return the format of the answer; a schema decides it, alone or as the API wraps it."""
    schema = json_object(inputs, "json_schema")
    if schema is None:
        chosen = str(inputs.get("response_format", "text"))
        return {} if chosen == "text" else {"response_format": {"type": chosen}}
    if not isinstance(schema.get("schema"), dict):
        schema = {"name": "answer", "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": schema}}


def _words_of(content: str | Sequence[Mapping[str, Any]]) -> str:
    """Return the words of a message, and a sign for each image."""
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "[image]")) for part in content)
