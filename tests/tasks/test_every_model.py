"""Every model of the catalogue, through its node, against the simulator's own reading of the API.

The simulator refuses any field that a model does not take and any value out of range, so that a
misreading on either side shows here. Living models are asked of the service as it is now, retired
ones of the service of the older documents.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.media.data_urls import encode
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.siliconflow.catalogue import Field, Model
from comfyui_siliconflow.siliconflow.errors import InvalidInput

NODES = {node.task: name for name, node in NODE_CLASS_MAPPINGS.items()}
TASKS = {"text-to-image", "image-to-image", "image-edit"}
PAINTERS = [model for model in catalogue.load().models if set(model.tasks) & TASKS]
MODELS = [pytest.param(model, id=f"{model.site}-{model.name}") for model in PAINTERS]
ROADS = [
    pytest.param(model, task, id=f"{model.site}-{model.name}-{task}")
    for model in PAINTERS
    for task in model.tasks
]
NUMBERS = [
    pytest.param(model, field, id=f"{model.site}-{model.name}-{field.name}")
    for model in PAINTERS
    for field in model.fields.values()
    if field.minimum is not None and not field.choices
]
NUMBERS_BUT_SEEDS = [param for param in NUMBERS if not str(param.id).endswith("-seed")]
"""Any seed is folded into the range of the service: none refuses a run."""
CHOICES = [
    pytest.param(model, field, id=f"{model.site}-{model.name}-{field.name}")
    for model in PAINTERS
    for field in model.fields.values()
    if field.choices
]
NOW = "2026-09-29"
"""The day before `batch_size` left the China site's requests."""
SAMPLES: dict[str, Any] = {"string": "blurred", "boolean": True}


@pytest.fixture(scope="module")
def services() -> Iterator[dict[tuple[str, bool], Simulator]]:
    """Return the simulators by site, and by whether they serve retired models."""
    with (
        Simulator(site="cn", as_of=NOW, balance="1000") as cn,
        Simulator(site="com", as_of=NOW, balance="1000") as com,
        Simulator(site="cn", as_of="ever", balance="1000") as old,
    ):
        yield {("cn", False): cn, ("com", False): com, ("cn", True): old}


@pytest.fixture
def on_site(
    services: dict[tuple[str, bool], Simulator],
    use: Callable[[Simulator], None],
    write_settings: Any,
) -> Callable[[Model], Simulator]:
    """Let the nodes talk to the site of a model."""

    def choose(model: Model) -> Simulator:
        simulator = services[str(model.site), model.is_retired]
        use(simulator)
        write_settings(site=model.site, native_batch=True)
        return simulator

    return choose


def inputs_of(model: Model, task: str) -> dict[str, Any]:
    """Return the node's inputs with every default, and an image where the task needs one."""
    inputs: dict[str, Any] = {"model": model.id, "prompt": "a cat", "seed": 1}
    return inputs if task == "text-to-image" else {**inputs, "image": torch.rand(1, 64, 64, 3)}


@pytest.mark.parametrize(("model", "task"), ROADS)
def test_makes_an_image_with_every_default(
    on_site: Any, run_node: Any, model: Model, task: str
) -> None:
    simulator = on_site(model)
    before = len(simulator.charges)
    images, _, info = run_node(NODES[task], **inputs_of(model, task))
    assert images.shape[0] == 1
    assert info["not_sent"] == []
    assert len(simulator.charges) == before + 1


@pytest.mark.parametrize(("model", "task"), ROADS)
@pytest.mark.parametrize("end", ["minimum", "maximum"])
def test_makes_an_image_with_every_field_set(
    on_site: Any, run_node: Any, model: Model, task: str, end: str
) -> None:
    simulator = on_site(model)
    values = {
        name: value
        for field in model.fields.values()
        if field.name not in {"width", "height"}
        for name, value in _extreme(field, end).items()
    }
    if "aspect_ratio" in values and "image_size" in values:
        del values["image_size"]
    images, _, info = run_node(NODES[task], **{**inputs_of(model, task), **values})
    assert images.shape[0] == values.get("batch_size", 1)
    assert info["not_sent"] == []
    sent = simulator.generations[-1].body
    assert {field.wire for field in model.fields.values() if field.name in values} <= set(sent)


def _extreme(field: Field, end: str) -> dict[str, Any]:
    if field.choices:
        return {field.name: field.choices[0 if end == "minimum" else -1]}
    value = getattr(field, end)
    return {field.name: SAMPLES[field.type] if value is None else value}


@pytest.mark.parametrize(("model", "field"), CHOICES)
def test_every_choice_is_one_that_the_service_takes(
    on_site: Any, model: Model, field: Field
) -> None:
    simulator = on_site(model)
    for choice in field.choices:
        others = {} if field.excludes else _required(model)
        body = {**others, **_raw(model), field.wire: choice}
        assert _post(simulator, body).status_code == 200, choice


@pytest.mark.parametrize(("model", "field"), NUMBERS)
@pytest.mark.parametrize("end", ["minimum", "maximum"])
def test_the_service_takes_the_ends_of_a_range_and_refuses_what_is_beyond(
    on_site: Any, model: Model, field: Field, end: str
) -> None:
    simulator = on_site(model)
    body = {**_required(model), **_raw(model)}
    at_end, beyond = _around(field, end)
    assert _post(simulator, {**body, field.wire: at_end}).status_code == 200
    refused = _post(simulator, {**body, field.wire: beyond})
    assert refused.status_code == 400
    assert field.wire in refused.text


@pytest.mark.parametrize(("model", "field"), NUMBERS_BUT_SEEDS)
@pytest.mark.parametrize("end", ["minimum", "maximum"])
def test_the_node_refuses_what_is_beyond_a_range_before_anything_is_sent(
    on_site: Any, run_node: Any, model: Model, field: Field, end: str
) -> None:
    simulator = on_site(model)
    before = len(simulator.requests)
    _, beyond = _around(field, end)
    if beyond == catalogue.load().unset.get(field.name):
        beyond -= 1  # the value next to the range is the one that means "not set"
    if field.name == "batch_size" and end == "maximum":
        beyond = 65  # more than a model makes at once is split, not refused
    sides = {"image_size": "custom", "width": 512, "height": 512} if "width" in model.fields else {}
    inputs = {**inputs_of(model, model.tasks[0]), **sides, field.name: beyond}
    with pytest.raises(InvalidInput) as caught:
        run_node(NODES[model.tasks[0]], **inputs)
    assert caught.value.name == field.name
    assert len(simulator.requests) == before


@pytest.mark.parametrize("model", MODELS)
def test_the_service_refuses_a_field_that_the_catalogue_does_not_list(
    on_site: Any, model: Model
) -> None:
    simulator = on_site(model)
    fields = {*model.images, *(field.wire for field in model.fields.values())}
    for name, value in _any_field().items():
        if name not in fields:
            body = {**_required(model), **_raw(model), name: value}
            assert _post(simulator, body).status_code == 400, name


def _any_field() -> dict[str, Any]:
    return {
        "num_inference_steps": 20,
        "guidance_scale": 7.5,
        "cfg": 4,
        "batch_size": 1,
        "negative_prompt": "x",
        "image_size": "1024x1024",
        "image": encode(torch.rand(16, 16, 3), "png").url.decode(),
        "image2": encode(torch.rand(16, 16, 3), "png").url.decode(),
        "prompt_enhancement": True,
        "raw": True,
        "output_format": "png",
    }


def _around(field: Field, end: str) -> tuple[Any, Any]:
    """Return the end of a range and the next value beyond it."""
    at_end = getattr(field, end)
    step = (field.step or 1) if field.type == "integer" else 0.01
    return at_end, at_end - step if end == "minimum" else at_end + step


def _required(model: Model) -> dict[str, Any]:
    sides = {"width": 512, "height": 512} if "width" in model.fields else {}
    return {**model.arguments({}), **sides}


def _raw(model: Model) -> dict[str, Any]:
    """Return the rest of a request: model, prompt and every image."""
    image = encode(torch.rand(16, 16, 3), "png").url.decode()
    return {"model": model.id, "prompt": "x", **dict.fromkeys(model.images, image)}


def _post(simulator: Simulator, body: dict[str, Any]) -> requests.Response:
    url = f"{simulator.base_url}/images/generations"
    return requests.post(
        url, json=body, headers={"Authorization": f"Bearer {simulator.key}"}, timeout=10
    )
