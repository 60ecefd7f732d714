"""Every living chat model of the catalogue, through its node, against the service as it is today.

The simulator refuses what a model does not take and any value out of range, by its own reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.siliconflow.catalogue import Field, Model

CHAT = "SiliconFlowChat"
Run = Callable[..., dict[str, Any]]
LIVING = [model for model in catalogue.load().of_task("chat") if not model.is_retired]
OWN = {"detail", "response_format", "max_images"}
"""Fields that the node works out itself."""


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    with Simulator(as_of="today", balance="1000") as simulator:
        yield simulator


@pytest.fixture
def ask(
    service: Simulator, use: Callable[[Simulator], None], outputs_of: Run, write_settings: Any
) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """Ask a model, whatever the answer may cost, and return the outputs and the request."""
    use(service)
    write_settings(confirm_cost=0)

    def chat(model: Model, **inputs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        image = {"image": torch.rand(1, 56, 56, 3)} if model.sees else {}
        prompt = f"What do you see? {sorted(inputs)}"
        outputs = outputs_of(CHAT, model=model.id, prompt=prompt, **image, **inputs)
        return outputs, service.requests[-1].body

    return chat


def test_the_catalogue_has_chat_models_that_live_and_see_and_think() -> None:
    assert len(LIVING) >= 60
    assert len([model for model in LIVING if model.sees]) > 20
    assert {model.thinking for model in LIVING} == {None, "off", "on", "always"}


@pytest.mark.parametrize("model", LIVING, ids=lambda model: model.id)
def test_answers_with_every_default(ask: Any, model: Model) -> None:
    outputs, body = ask(model)
    assert "What do you see?" in outputs["text"]
    assert not (outputs["reasoning"] and model.thinking == "on")
    assert outputs["info"]["not_sent"] == []
    assert outputs["info"]["notes"] == []
    assert ("enable_thinking" in body) == (model.thinking == "on")


@pytest.mark.parametrize("end", [0, -1], ids=["least", "most"])
@pytest.mark.parametrize("model", LIVING, ids=lambda model: model.id)
def test_takes_every_field_that_the_catalogue_gives_it(ask: Any, model: Model, end: int) -> None:
    values = {
        field.name: value
        for field in model.fields.values()
        if field.name not in OWN and (value := _extremes(field)[end]) is not None
    }
    most = model.context or 32_768 + values.get("thinking_budget", 0)
    values["max_tokens"] = most if end else 512
    if (
        end
        and {"thinking_budget", "reasoning_effort"} & set(values)
        and "enable_thinking" in values
    ):
        values["enable_thinking"] = "on"  # with the last choice, off, they are not sent
    outputs, body = ask(model, **values)
    assert outputs["text"]
    assert set(values) <= set(body)


def _extremes(field: Field) -> list[Any]:
    """Return the smallest and the largest value, or the first and the last choice."""
    return list(field.choices) or [field.minimum, field.maximum]
