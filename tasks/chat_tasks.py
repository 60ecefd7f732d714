"""What one run of the Chat node asks for, and what it makes of the answer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from ..engine.endpoint import ApiRequest, ApiResult, Endpoint, OnText, as_file, from_file
from ..engine.progress import start_of
from ..engine.threads import CPU
from ..engine.uploads import SCALED
from ..media.data_urls import Encoded, encode
from ..media.image_files import check_image
from ..media.media_error import MediaError
from ..siliconflow.catalogue import Model
from ..siliconflow.client import Client
from ..siliconflow.errors import InvalidInput
from ..siliconflow.fields import require_text
from ..siliconflow.resources import chat
from ..siliconflow.resources.chat import Completion
from ..storage.settings import Settings
from ..strings.text import Text
from .plan import Plan, chosen_model, extra_body, set_values, without_pictures
from .results import Results, and_tokens

TASK = "chat"
FIELDS = ("max_tokens", "temperature", "top_p", "top_k", "frequency_penalty", "seed")
JSON_FORMATS = frozenset({"json_object", "json_schema"})
_SPOKEN = ("prompt", "text", "description")
"""What is meant to be read of an object of several fields."""
_RESERVED = frozenset({"model", "messages", "stream", "seed", "stop", "n"})
_USUAL_ENDS = frozenset({"", "stop", "eos", "length"})
_FENCE = re.compile(r"^```\w*\n(.*?)\n?```[ \t]*$", re.DOTALL | re.MULTILINE)
_ESCAPES = {"\\n": "\n", "\\t": "\t"}
Message = Mapping[str, Any]
Outputs = tuple[str, list[str], str, "Conversation", str]


@dataclass(frozen=True)
class Conversation:
    """What was said so far. As text it is readable, and shows no picture's data."""

    messages: tuple[Message, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        """Give who said what."""
        return "\n\n".join(f"{item['role']}: {_said(item['content'])}" for item in self.messages)

    @property
    def has_pictures(self) -> bool:
        """Whether somebody showed a picture."""
        return any(not isinstance(message["content"], str) for message in self.messages)

    def then(self, *messages: Message) -> Conversation:
        """Give the conversation as it goes on."""
        return Conversation((*self.messages, *messages))


def prepare(
    inputs: Mapping[str, Any], images: Mapping[str, torch.Tensor | None], settings: Settings
) -> Plan:
    """Check all inputs, and make the one request of them."""
    model = chosen_model(TASK, inputs, settings.site)
    connected = {name: image for name, image in images.items() if image is not None}
    require_text(str(inputs.get("prompt", "")), "prompt")
    earlier = _earlier(inputs)
    _check_sight(model, connected, earlier)
    extra = extra_body(str(inputs.get("extra_body", "")), _RESERVED)
    shown = _shown(model, connected, settings)
    told = earlier.then(_question(inputs, list(shown.values())))
    _check_length(model, told)
    body = {
        "model": model.id,
        "messages": list(told.messages),
        **model.arguments(set_values(inputs, FIELDS)),
        **_stop(model, str(inputs.get("stop", ""))),
        **_format(inputs),
        **extra,
    }
    return without_pictures(model, [body], ENDPOINT, notes=_scaled(shown))


def shape(came: Results) -> tuple[Text, Outputs]:
    """Make the node's outputs of the answer."""
    [found] = came.items
    body = came.plan.asks[0].body
    _note_doubts(came, found, body)
    conversation = Conversation(tuple(body["messages"]))
    answered = conversation.then({"role": "assistant", "content": found.text})
    info = came.info(finish_reason=found.finish_reason, usage=found.usage)
    spent = f"{came.seconds:.1f}"
    tokens = and_tokens(found.usage.get("total_tokens", 0))
    shown = start_of(found.text)
    line = Text(f"{spent} s{tokens.en}:\n{shown}", f"{spent} 秒{tokens.zh}：\n{shown}")
    return line, (found.text, parts_of(found.text), found.reasoning, answered, info)


def parts_of(text: str) -> list[str]:
    """Give an answer as a list: the items of the list in its JSON, else its lines.

    The JSON may stand between words, if it is fenced in as code. Of an empty list comes one empty
    text, at which a node that paints stops unpaid.
    """
    try:
        found = _listed(_read(text))
    except (ValueError, RecursionError):
        found = text.splitlines()
    parts = [_written(item).strip() for item in found if item is not None]
    return [part for part in parts if part] or [""]


def _read(text: str) -> Any:
    """Read the JSON of an answer; raises `ValueError` if it is none."""
    fenced = _FENCE.findall(text)
    return json.loads(fenced[0] if len(fenced) == 1 else text)


def _listed(value: Any) -> list[Any]:
    """Give the list in a JSON value that says most, else the values of an object without any."""
    lists = _lists(value)
    if lists:
        return max(lists, key=lambda found: len(_as_json(found)))
    return list(value.values()) if isinstance(value, dict) else [value]


def _lists(value: Any) -> list[list[Any]]:
    """Give the lists in a JSON value; one within another is part of that."""
    if isinstance(value, list):
        return [value]
    if not isinstance(value, dict):
        return []
    return [found for item in value.values() for found in _lists(item)]


def _written(item: Any) -> str:
    """Give an item as text: of an object its one value, or what is meant to be read."""
    if isinstance(item, dict):
        named = [item[name] for name in _SPOKEN if isinstance(item.get(name), str)]
        item = [*named, *item.values()][0] if named or len(item) == 1 else item
    return item if isinstance(item, str) else _as_json(item)


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _note_doubts(came: Results, found: Completion, body: Mapping[str, Any]) -> None:
    """Tell of an answer that is cut off, or not what was asked for."""
    most = body.get("max_tokens", "")
    if found.finish_reason == "length":
        came.note(
            Text(
                f"The answer reached max_tokens ({most}) and is cut off.",
                f"回复达到 max_tokens（{most}），内容被截断。",
            )
        )
    if not found.text.strip():
        raise came.unusable(
            Text(
                "the model thought and wrote no answer: change the seed or the prompt, or raise"
                " max_tokens if the thoughts are cut off (beyond the widget's range it may stand in"
                f" extra_body). They say: {found.reasoning}",
                "模型只给出了思考过程，没有正文：请更换种子或修改提示词；若思考被截断，请调高"
                " max_tokens（超出控件范围的值可写在 extra_body 中）。"
                f"思考内容：{found.reasoning}",
            )
        )
    if found.finish_reason not in _USUAL_ENDS:
        came.note(
            Text(
                f"The answer was ended by: {found.finish_reason}.",
                f"回复结束的原因：{found.finish_reason}。",
            )
        )
    if _asks_for_json(body) and not _is_json(found.text):
        raise came.unusable(
            Text(
                "the answer is not the JSON that was asked for, and would be taken for lists of"
                f" something else. Raise max_tokens ({most}) if it is cut off, or change the seed"
                f" or the prompt. It says: {found.text}",
                "回复不是要求的 JSON，继续传下去会被误用。若内容被截断，请调高 max_tokens"
                f"（{most}）；否则请更换种子或修改提示词。回复内容：{found.text}",
            )
        )

    _note_choice(came, found.text)


def _note_choice(came: Results, text: str) -> None:
    """Tell which of several lists became `texts`, or that it is empty: each item may be paid."""
    try:
        lists = _lists(_read(text))
    except (ValueError, RecursionError):
        return
    if len(lists) > 1:
        first = parts_of(text)[0][:60]
        came.note(
            Text(
                f"The answer holds {len(lists)} lists; texts is the one that begins: {first}",
                f"回复中有 {len(lists)} 个列表，texts 取的是这样开头的一个：{first}",
            )
        )
    elif lists == [[]]:
        came.note(Text("The list in the answer is empty.", "回复中的列表是空的。"))


def _asks_for_json(body: Mapping[str, Any]) -> bool:
    asked = body.get("response_format")
    return isinstance(asked, dict) and asked.get("type") in JSON_FORMATS


def _is_json(text: str) -> bool:
    try:
        _read(text)
    except (ValueError, RecursionError):
        return False
    return True


def _complete(client: Client, order: ApiRequest, hear: OnText) -> ApiResult:
    return as_file(chat.complete(client, order.body, hear))


ENDPOINT = Endpoint(chat.PATH, _complete, from_file(Completion), Text("the answer", "回复"))


def _earlier(inputs: Mapping[str, Any]) -> Conversation:
    """Give what was said before, with the system prompt of now in front."""
    earlier = inputs.get("conversation") or Conversation()
    if not isinstance(earlier, Conversation):
        raise InvalidInput(
            "conversation",
            Text("is not what another Chat node gave", "不是对话节点输出的会话"),
        )
    system = str(inputs.get("system_prompt", "")).strip()
    if not system:
        return earlier
    others = (message for message in earlier.messages if message["role"] != "system")
    return Conversation(({"role": "system", "content": system}, *others))


def _check_sight(
    model: Model, connected: Mapping[str, torch.Tensor], earlier: Conversation
) -> None:
    blind = model.listed and not model.images
    name = next(iter(connected), "conversation" if earlier.has_pictures else "")
    if blind and name:
        raise InvalidInput(
            name,
            Text(
                f"{model.id} sees no pictures; choose a model with VL in its name",
                f"{model.id} 不能看图，请换用名称中带 VL 的模型",
            ),
        )


def _check_length(model: Model, told: Conversation) -> None:
    most, count = model.limits.get("messages"), len(told.messages)
    if most and count > most:
        raise InvalidInput(
            "conversation",
            Text(
                f"has {count} messages with this one; the service takes {most}. Begin a new one",
                f"加上本条共 {count} 条消息，服务最多接受 {most} 条，请开始新的会话",
            ),
        )


def _question(inputs: Mapping[str, Any], shown: Sequence[Encoded]) -> Message:
    prompt, detail = str(inputs["prompt"]), str(inputs.get("detail", "auto"))
    pictures = [
        {"type": "image_url", "image_url": {"url": picture.url.decode(), "detail": detail}}
        for picture in shown
    ]
    content = [*pictures, {"type": "text", "text": prompt}] if pictures else prompt
    return {"role": "user", "content": content}


def _shown(
    model: Model, connected: Mapping[str, torch.Tensor], settings: Settings
) -> dict[tuple[str, int], Encoded]:
    """Encode every frame that is shown, by input and number, in their order."""
    for name, image in connected.items():
        _check_picture(name, image)
    most_pixels = settings.upload_side**2
    with CPU:
        return {
            (name, at): encode(frame, model.upload, settings.upload_format, most_pixels)
            for name, image in connected.items()
            for at, frame in enumerate(image)
        }


def _scaled(shown: Mapping[tuple[str, int], Encoded]) -> list[Text]:
    """Say of each picture that was scaled from which size to which."""
    return [
        SCALED.format(
            name=name,
            own="x".join(map(str, picture.scaled_from)),
            sent=f"{picture.width}x{picture.height}",
        )
        for (name, _), picture in shown.items()
        if picture.scaled_from
    ]


def _check_picture(name: str, image: torch.Tensor) -> None:
    try:
        check_image(image)
    except MediaError as error:
        raise InvalidInput(name, error.text) from None


def _stop(model: Model, text: str) -> dict[str, list[str]]:
    """Give the texts that end the answer, one a line; a line break is written as a sign for it."""
    found = [_unescaped(line) for line in text.splitlines() if line]
    most = model.limits.get("stop", len(found))
    if len(found) > most:
        raise InvalidInput(
            "stop",
            Text(f"has {len(found)} lines, at most {most}", f"有 {len(found)} 行，最多 {most} 行"),
        )
    return {"stop": found} if found else {}


def _unescaped(line: str) -> str:
    for written, meant in _ESCAPES.items():
        line = line.replace(written, meant)
    return line


def _format(inputs: Mapping[str, Any]) -> dict[str, Any]:
    chosen = str(inputs.get("response_format", "text"))
    return {} if chosen == "text" else {"response_format": {"type": chosen}}


def _said(content: str | Sequence[Mapping[str, Any]]) -> str:
    """Give the words of a message, and a sign for each picture."""
    if isinstance(content, str):
        return content
    return " ".join(str(part.get("text", "[picture]")) for part in content)
