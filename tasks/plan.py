"""What one run asks for: every input checked, then split into requests. Sends nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

import torch

from ..engine.endpoint import PICTURES, Endpoint
from ..media.image_files import check_image
from ..media.media_error import MediaError
from ..siliconflow import catalogue
from ..siliconflow.catalogue import AUTO, Model, Site
from ..siliconflow.errors import InvalidInput
from ..siliconflow.fields import Value, require_text
from ..strings.text import Text

RESERVED = frozenset({"model", "prompt", "seed", "batch_size", "image", "image2", "image3"})
_REFERENCE = re.compile(r"@image(\d+)", re.IGNORECASE)
_SIZE_INPUTS = ("image_size", "width", "height")


@dataclass(frozen=True)
class PlannedRequest:
    """One request: `count` pictures from input frame `frame`, and its body without pictures.

    `about` says what is asked where the body has no words for it.
    """

    frame: int
    count: int
    seed: int
    body: Mapping[str, Any]
    about: Text | None = None

    @property
    def words(self) -> str:
        """Give what is asked, for a list of what was done: the first words that a body has."""
        found = (self.body.get(name) for name in ("prompt", "input", "query", "text"))
        said = next((text for text in found if text), self.about or _last_said(self.body))
        return str(said[0] if isinstance(said, list) else said)

    def halves(self) -> tuple[PlannedRequest, PlannedRequest]:
        """Give two requests that together ask for the same pictures."""
        first = self.count // 2
        return self._part(0, first), self._part(first, self.count - first)

    def _part(self, at: int, count: int) -> PlannedRequest:
        seed = _seed_after(self.seed, at)
        return PlannedRequest(
            self.frame, count, seed, {**self.body, "batch_size": count, "seed": seed}
        )


def _last_said(body: Mapping[str, Any]) -> str:
    """Give the words of the last message of a conversation."""
    content = (body.get("messages") or [{"content": ""}])[-1]["content"]
    return content if isinstance(content, str) else str(content[-1].get("text", ""))


@dataclass(frozen=True)
class Plan:
    """One run of a node.

    `pictures` holds, by wire name, the IMAGE that is sent there, and `names` the input it is from.
    """

    model: Model
    asks: tuple[PlannedRequest, ...]
    pictures: Mapping[str, torch.Tensor]
    names: Mapping[str, str]
    not_sent: Sequence[str]
    endpoint: Endpoint = PICTURES
    notes: Sequence[Text] = ()


def without_pictures(
    model: Model,
    bodies: Sequence[Mapping[str, Any]],
    endpoint: Endpoint,
    not_sent: Sequence[str] = (),
    notes: Sequence[Text] = (),
) -> Plan:
    """Give the plan of requests whose bodies are whole: no picture goes beside them."""
    seeds = [int(body.get("seed", 0)) for body in bodies]
    asks = [
        PlannedRequest(at, 1, seed, body)
        for at, (seed, body) in enumerate(zip(seeds, bodies, strict=True))
    ]
    return Plan(model, tuple(asks), {}, {}, not_sent, endpoint, notes)


def make(
    task: str,
    inputs: Mapping[str, Any],
    images: Mapping[str, torch.Tensor | None],
    site: Site,
) -> Plan:
    """Check all inputs of a node and split them into requests.

    `inputs` are the node's widget values by name, `images` its pictures by input name. Raises
    `InvalidInput`, which names the input, for anything that the service would refuse or that
    would be lost on the way.
    """
    connected = {name: image for name, image in images.items() if image is not None}
    model = chosen_model(task, inputs, site)
    _check_pictures(model, images, connected)
    prompt = _prompt(task, str(inputs.get("prompt", "")), connected, model)
    extra = extra_body(str(inputs.get("extra_body", "")), RESERVED | set(model.images))
    values = _values(model, inputs, connected)
    head = {"model": model.id, "prompt": prompt}
    frames = max([1, *(image.shape[0] for image in connected.values())])
    return Plan(
        model=model,
        asks=tuple(
            PlannedRequest(
                frame, count, seed, {**head, **model.arguments({**values, **split}), **extra}
            )
            for frame in range(frames)
            for count, seed, split in _split(model, inputs)
        ),
        pictures=dict(zip(model.images, connected.values(), strict=False)),
        names=dict(zip(model.images, connected, strict=False)),
        not_sent=model.not_sent(values),
    )


def set_values(inputs: Mapping[str, Any], names: Sequence[str]) -> dict[str, Value]:
    """Give the fields of these names that the user set."""
    return catalogue.load().only_set({name: inputs[name] for name in names if name in inputs})


def chosen_model(task: str, inputs: Mapping[str, Any], site: Site) -> Model:
    """Give the model of a node; raises `InvalidInput` for one that is for something else."""
    custom = str(inputs.get("custom_model", "")).strip()
    model = catalogue.load().find(custom or str(inputs.get("model", "")), site)
    if model.listed and task not in model.tasks:
        name = "custom_model" if custom else "model"
        made = ", ".join(model.tasks)
        raise InvalidInput(
            name,
            Text(
                f"{model.id} is for {made}, not for {task}",
                f"{model.id} 用于 {made}，不用于 {task}",
            ),
        )
    return model


def _check_pictures(
    model: Model, images: Mapping[str, Any], connected: Mapping[str, torch.Tensor]
) -> None:
    if "image" in images and "image" not in connected:
        raise InvalidInput("image", Text("a picture must be connected", "需要连接一张图片"))
    for place, (name, image) in enumerate(connected.items()):
        _check_picture(name, image, connected["image"])
        if place >= len(model.images):
            raise InvalidInput(name, _too_many(model))


def _too_many(model: Model) -> Text:
    most = len(model.images)
    return Text(
        f"{model.id} takes {most} picture{'s'[: most != 1]}; disconnect this one"
        " or choose another model",
        f"{model.id} 只接受 {most} 张图片，请断开此输入或换一个模型",
    )


def _check_picture(name: str, image: torch.Tensor, first: torch.Tensor) -> None:
    try:
        check_image(image)
    except MediaError as error:
        raise InvalidInput(name, error.text) from None
    frames, wanted = image.shape[0], first.shape[0]
    if frames not in {1, wanted}:
        raise InvalidInput(
            name,
            Text(
                f"has {frames} frames; it must have 1, or {wanted} as image has",
                f"有 {frames} 帧；应为 1 帧，或与 image 相同的 {wanted} 帧",
            ),
        )


def _prompt(task: str, prompt: str, connected: Mapping[str, Any], model: Model) -> str:
    require_text(prompt, "prompt")
    if task != "image-edit":
        return prompt
    places = {name.removeprefix("image") or "1": n for n, name in enumerate(connected, 1)}

    def referred(match: re.Match[str]) -> str:
        number = match.group(1)
        if number not in places:
            raise InvalidInput(
                "prompt",
                Text(
                    f"speaks of {match.group()}, but no such picture is connected",
                    f"提到了 {match.group()}，但没有连接这张图片",
                ),
            )
        return model.reference.format(places[number])

    return _REFERENCE.sub(referred, prompt)


def _values(
    model: Model, inputs: Mapping[str, Any], connected: Mapping[str, torch.Tensor]
) -> dict[str, Value]:
    """Give the fields that the user set, with the size as the model takes it."""
    known = catalogue.load()
    own = {name: inputs[name] for name in known.inputs if name in inputs}
    others = {k: v for k, v in own.items() if k not in {*_SIZE_INPUTS, "seed", "batch_size"}}
    return {**_size(model, inputs, connected), **known.only_set(others)}


def _size(
    model: Model, inputs: Mapping[str, Any], connected: Mapping[str, torch.Tensor]
) -> dict[str, Value]:
    chosen = str(inputs.get("image_size", AUTO))
    if chosen == AUTO and connected and inputs.get("aspect_ratio", AUTO) == AUTO:
        height, width = connected["image"].shape[1:3]
        chosen = model.closest_size(width, height)
    width, height = (inputs.get(side, _default(side)) for side in ("width", "height"))
    return model.size_arguments(chosen, int(width), int(height))


def _default(name: str) -> Any:
    return catalogue.load().inputs[name].default


def _split(model: Model, inputs: Mapping[str, Any]) -> list[tuple[int, int, dict[str, Value]]]:
    """Split `batch_size` into what one request can make: (count, seed, their fields) of each.

    The seed of a request is the first one's plus the number of pictures before it.
    """
    known = catalogue.load().inputs
    total = int(known["batch_size"].check(inputs.get("batch_size", _default("batch_size"))))
    first = int(known["seed"].check(inputs.get("seed", _default("seed"))))
    most = model.max_images_per_request or total
    parts = [(min(most, total - at), _seed_after(first, at)) for at in range(0, total, most)]
    return [(count, seed, _split_fields(model, count, seed)) for count, seed in parts]


def _seed_after(seed: int, pictures: int) -> int:
    return (seed + pictures) % (int(catalogue.load().inputs["seed"].maximum or 0) + 1)


def _split_fields(model: Model, count: int, seed: int) -> dict[str, Value]:
    native = "batch_size" in model.fields or (not model.listed and count > 1)
    return {"seed": seed, "batch_size": count} if native else {"seed": seed}


def extra_body(text: str, reserved: AbstractSet[str]) -> dict[str, Any]:
    """Read the JSON that is merged into a request, which may not set what the node sets."""
    if not text.strip():
        return {}
    try:
        extra = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        reason = str(error).split(":", maxsplit=1)[0]
        raise InvalidInput(
            "extra_body", Text(f"is not JSON ({reason})", f"不是有效的 JSON（{reason}）")
        ) from None
    if not isinstance(extra, dict):
        raise InvalidInput(
            "extra_body", Text("must be a JSON object {...}", "必须是 JSON 对象 {...}")
        )
    _check_reserved(extra, reserved)
    return extra


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _check_reserved(extra: Mapping[str, Any], reserved: AbstractSet[str]) -> None:
    taken = ", ".join(sorted(reserved & set(extra)))
    if taken:
        raise InvalidInput(
            "extra_body",
            Text(f"{taken}: the node sets it itself", f"{taken}：由节点自行设置"),
        )
