"""Every node with every model of the catalogue, with its defaults, on a day that had the model.

Living models are asked of the service as it is today, with the settings of a new account. Those of
the older documents are asked of it as it was then, with the batches that it wanted; models that
came and went in between, on the last day on which they were there.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.nodes.widgets import shown_defaults
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.siliconflow.catalogue import Model

OLD = "2024-12-01"
"""The day of the older documents."""
MODELS = catalogue.load().models
SIDE = 32
GIVEN: dict[str, Any] = {
    "prompt": "a cat",
    "input": "a cat\na dog",
    "query": "a cat",
    "documents": "a cat\na dog",
    "customName": "mine",
    "text": "a cat",
}
"""What has no default: what the user must give."""


@pytest.mark.parametrize(
    ("node_id", "model", "field"),
    [
        ("SiliconFlowTextToImage", "Kwai-Kolors/Kolors", "guidance_scale"),
        ("SiliconFlowChat", "Qwen/Qwen3-8B", "enable_thinking"),
        ("SiliconFlowTextToSpeech", "FunAudioLLM/CosyVoice2-0.5B", "speed"),
        ("SiliconFlowEmbeddings", "Qwen/Qwen3-Embedding-8B", "dimensions"),
        ("SiliconFlowRerank", "BAAI/bge-reranker-v2-m3", "top_n"),
    ],
)
def test_null_in_extra_body_takes_a_field_out_of_any_node_s_request(
    today: Simulator, outputs_of: Callable[..., Any], node_id: str, model: str, field: str
) -> None:
    own = {"speed": 2.0, "dimensions": 64, "top_n": 1}
    required = NODE_CLASS_MAPPINGS[node_id].required
    inputs = {name: GIVEN[name] for name in required if name in GIVEN}
    inputs |= {"model": model, **{name: own[name] for name in {field} & own.keys()}}
    outputs_of(node_id, **inputs)
    outputs_of(node_id, **inputs, extra_body=json.dumps({field: None}))
    posts = [record for record in today.requests if record.method == "POST"]
    assert [field in record.body for record in posts] == [True, False]


@dataclass(frozen=True)
class Trial:
    """A node, a model, and the day of the service on which they meet."""

    node: str
    model: Model
    day: str

    @property
    def name(self) -> str:
        """The trial's name among the tests."""
        node = self.node.removeprefix("SiliconFlow")
        return "-".join((self.day, str(self.model.site), node, self.model.id))


@cache
def ids_of(site: str, day: str) -> frozenset[str]:
    return frozenset(Simulator(site=site, as_of=day).models.all)


def days_of(model: Model) -> Iterator[str]:
    """Yield the days on which a model is asked for."""
    if not model.is_retired:
        yield "today"
    if model.id in ids_of(str(model.site), OLD):
        yield OLD
    elif model.retired:
        yield str(date.fromisoformat(model.retired) - timedelta(days=1))


TRIALS = [
    Trial(node_id, model, day)
    for node_id, node in NODE_CLASS_MAPPINGS.items()
    for model in MODELS
    if node.task in model.tasks
    for day in days_of(model)
]


@pytest.fixture(scope="module")
def services() -> Iterator[Callable[..., Simulator]]:
    """Return the services by site and day; each starts when it is first asked for."""
    running: dict[tuple[str, str], Simulator] = {}

    def of(site: str, day: str) -> Simulator:
        if (site, day) not in running:
            running[site, day] = Simulator(site=site, as_of=day, balance="1000")
            running[site, day].start()
        return running[site, day]

    yield of
    for simulator in running.values():
        simulator.stop()


@pytest.fixture
def on_day(
    services: Callable[..., Simulator],
    use: Callable[[Simulator], None],
    write_settings: Callable[..., object],
) -> Callable[..., Simulator]:
    """Let the nodes talk to a site on a day, with the settings of that day."""

    def choose(site: str, day: str) -> Simulator:
        simulator = services(site, day)
        use(simulator)
        write_settings(site=site, **({} if day == "today" else {"native_batch": True}))
        return simulator

    return choose


def defaults(node_id: str) -> dict[str, Any]:
    """Return what the page sends of a node that nobody touched: the default of each widget."""
    types = NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES()
    widgets = {**types["required"], **types["optional"]}
    return {name: opts["default"] for name, (_, opts) in widgets.items() if "default" in opts}


def defaults_of_model(trial: Trial) -> dict[str, Any]:
    """Return what the page sends of a node on which only the model was chosen."""
    node = NODE_CLASS_MAPPINGS[trial.node]
    values, unset = defaults(trial.node), catalogue.load().unset
    first = catalogue.load().find(values.get("model", ""), trial.model.site or "cn")
    for name in shown_defaults(node.task, first):
        values[name] = unset[name]
    return {**values, **shown_defaults(node.task, trial.model)}


def inputs_of(trial: Trial) -> dict[str, Any]:
    """Return the inputs: the defaults, what must be given, an image for a model that sees."""
    node = NODE_CLASS_MAPPINGS[trial.node]
    inputs = {**defaults_of_model(trial), "model": trial.model.id}
    inputs |= {name: GIVEN[name] for name in node.required if name in GIVEN}
    if "image" in node.required or ("image" in node.optional and trial.model.sees):
        inputs["image"] = torch.rand(1, SIDE, SIDE, 3)
    if "audio" in node.required:
        inputs["audio"] = {"waveform": torch.rand(1, 1, 800), "sample_rate": 8000}
    return inputs


@pytest.mark.parametrize("trial", TRIALS, ids=[trial.name for trial in TRIALS])
def test_a_node_with_its_defaults_is_answered(
    on_day: Callable[..., Simulator], outputs_of: Callable[..., dict[str, Any]], trial: Trial
) -> None:
    simulator = on_day(trial.model.site, trial.day)
    before = len(simulator.requests)
    outputs = outputs_of(trial.node, **inputs_of(trial))
    assert set(outputs) == set(NODE_CLASS_MAPPINGS[trial.node].outputs)
    assert outputs.get("info", {}).get("not_sent", []) == []
    sent = simulator.requests[before:]
    assert {record.status for record in sent} == {200}
    assert trial.model.id in {record.model for record in sent}


def test_every_living_model_is_asked_of_today_s_service_by_each_of_its_nodes() -> None:
    nodes = NODE_CLASS_MAPPINGS
    asked = {
        (trial.model.id, trial.model.site, nodes[trial.node].task)
        for trial in TRIALS
        if trial.day == "today"
    }
    living = [model for model in MODELS if not model.is_retired]
    assert len(living) > 90
    assert asked == {(model.id, model.site, task) for model in living for task in model.tasks}


def test_every_retired_model_is_asked_of_a_day_that_had_it() -> None:
    asked = {(trial.model.id, trial.model.site) for trial in TRIALS if trial.day != "today"}
    retired = {(model.id, model.site) for model in MODELS if model.is_retired}
    assert len(retired) > 40
    assert retired <= asked


@pytest.mark.parametrize("node", ["SiliconFlowAccount", "SiliconFlowModels", "SiliconFlowVoices"])
@pytest.mark.parametrize("site", ["cn", "com"])
@pytest.mark.parametrize("day", ["today", OLD])
def test_a_lookup_is_answered(
    on_day: Callable[..., Simulator],
    outputs_of: Callable[..., dict[str, Any]],
    node: str,
    site: str,
    day: str,
) -> None:
    on_day(site, day)
    outputs = outputs_of(node, **defaults(node))
    assert set(outputs) == set(NODE_CLASS_MAPPINGS[node].outputs)


def test_a_voice_that_was_uploaded_today_is_deleted(
    on_day: Callable[..., Simulator], outputs_of: Callable[..., dict[str, Any]]
) -> None:
    node = "SiliconFlowUploadVoice"
    simulator = on_day("cn", "today")
    trial = next(trial for trial in TRIALS if (trial.node, trial.day) == (node, "today"))
    uri = outputs_of(node, **{**inputs_of(trial), "customName": "another"})["voice"]
    assert uri in simulator.uploaded
    outputs_of("SiliconFlowDeleteVoice", uri=uri)
    assert uri not in simulator.uploaded
