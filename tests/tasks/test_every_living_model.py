"""Every living model that speaks, listens, embeds or ranks, against the service of today.

The simulator has its own reading of the documents: it refuses any field that a model does not take.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.media import audio_files
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.siliconflow.catalogue import Field, Model

Run = Callable[..., dict[str, Any]]

NODES = {node.task: name for name, node in NODE_CLASS_MAPPINGS.items()}
SOUND: dict[str, Any] = {"waveform": torch.rand(1, 1, 8000) - 0.5, "sample_rate": 8000}
INPUTS: dict[str, dict[str, Any]] = {
    "text-to-speech": {"input": "Hello there."},
    "speech-to-text": {"audio": SOUND},
    "voice": {"audio": SOUND, "customName": "me", "text": "Hello"},
    "embedding": {"input": "a cat\na dog"},
    "rerank": {"query": "a cat", "documents": "a cat\na dog"},
}
LIVING = [
    (task, model)
    for task in INPUTS
    for model in catalogue.load().of_task(task)
    if not model.is_retired
]
ALL = [pytest.param(task, model, id=f"{task}-{model.name}") for task, model in LIVING]
CHOICES = [
    pytest.param(task, model, field, id=f"{task}-{model.name}-{field.name}")
    for task, model in LIVING
    for field in model.fields.values()
    if field.choices and task != "voice"
]


def test_every_task_has_living_models() -> None:
    assert {task for task, _ in LIVING} == set(INPUTS)
    assert len(LIVING) >= 20


@pytest.mark.parametrize(("task", "model"), ALL)
def test_answers_with_every_default(
    today: Simulator, outputs_of: Run, task: str, model: Model
) -> None:
    outputs_of(NODES[task], model=model.id, **INPUTS[task])
    assert [record.status for record in today.requests] == [200]


@pytest.mark.parametrize(("task", "model"), ALL)
@pytest.mark.parametrize("end", ["minimum", "maximum"])
def test_answers_with_every_field_set(
    today: Simulator, outputs_of: Run, task: str, model: Model, end: str
) -> None:
    values = {field.name: _value(field, end) for field in model.fields.values()}
    if "response_format" in values:
        values |= {"response_format": "wav", "sample_rate": "8000"}
        values |= {"reference_audio": SOUND, "reference_audio2": SOUND}
        values = {name: value for name, value in values.items() if _is_taken(name, model)}
    values |= {"image": torch.rand(1, 8, 8, 3)} if model.sees else {}
    inputs = {**values, **INPUTS[task]}
    if "reference_audio2" in values:
        inputs["input"] = "[S1]Hello there.[S2]Hello."
    outputs = outputs_of(NODES[task], model=model.id, **inputs)
    assert outputs["info"]["not_sent"] == []
    assert [record.status for record in today.requests] == [200]


@pytest.mark.parametrize(("task", "model", "field"), CHOICES)
def test_every_choice_is_one_that_the_service_takes(  # noqa: PLR0917
    today: Simulator,
    outputs_of: Run,
    monkeypatch: pytest.MonkeyPatch,
    task: str,
    model: Model,
    field: Field,
) -> None:
    made = audio_files.Sound(torch.zeros(1, 8), 8000)
    monkeypatch.setattr(audio_files, "has_decoder", lambda _kind: True)
    monkeypatch.setattr(audio_files, "decode", lambda *_given: made)
    for choice in field.choices:
        value = int(choice) if field.type == "integer" else choice
        more = (
            {"response_format": "opus"} if (field.name, choice) == ("sample_rate", "48000") else {}
        )
        outputs_of(NODES[task], model=model.id, **INPUTS[task], **more, **{field.name: value})
    assert [record.status for record in today.requests] == [200] * len(field.choices)


def _value(field: Field, end: str) -> Any:
    if field.choices:
        value = field.choices[0 if end == "minimum" else -1]
        return int(value) if field.type == "integer" else value
    return {"string": "Hello."}.get(field.type, getattr(field, end))


def _is_taken(name: str, model: Model) -> bool:
    """Return whether a model takes a recording: it has a field for its text then."""
    return "audio" not in name or name.replace("audio", "text") in model.fields
