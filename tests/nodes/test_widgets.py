"""Node ids, inputs and outputs: they are in people's saved workflows, so they never change.

A change that only adds to the end of a node may be recorded in `snapshot.json` with
`SNAPSHOT=write python -m pytest tests/nodes/test_widgets.py`; anything else breaks workflows.
"""

import inspect
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS
from comfyui_siliconflow.nodes.base import Node
from comfyui_siliconflow.nodes.chat_node import SiliconFlowChat
from comfyui_siliconflow.nodes.image_nodes import ImageNode
from comfyui_siliconflow.nodes.widgets import MAX_NAMES, SOCKETS, WORKFLOW
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.strings.text import has_text

SNAPSHOT = Path(__file__).with_name("snapshot.json")
PAINTERS = [node for node in NODE_CLASS_MAPPINGS.values() if issubclass(node, ImageNode)]
MOST_OPEN = 8
NAMES = {("text-to-speech", "voice")}
FORMATS = {"png", "jpeg", "wav", "pcm", "mp3", "opus"}
FREE = {"account", "models", "voices", "delete-voice"}
NODES = [pytest.param(node, id=name) for name, node in NODE_CLASS_MAPPINGS.items()]


def described() -> dict[str, Any]:
    """Return all that a saved workflow depends on."""
    return {
        name: {
            "inputs": {
                kind: [
                    [key, what, _without_tooltip(options)] for key, (what, options) in group.items()
                ]
                for kind, group in shown(node).items()
            },
            "outputs": [list(node.RETURN_TYPES), list(node.RETURN_NAMES)],
        }
        for name, node in NODE_CLASS_MAPPINGS.items()
    }


def shown(node: type[Node]) -> dict[str, Any]:
    """Return the inputs that a user sees."""
    return {kind: group for kind, group in node.INPUT_TYPES().items() if kind != "hidden"}


def _without_tooltip(options: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in options.items() if key != "tooltip"}


@pytest.mark.parametrize("node", NODES)
def test_what_another_pack_changes_in_the_inputs_of_a_node_is_its_own(node: type[Node]) -> None:
    before = json.dumps(node.INPUT_TYPES())
    changed = node.INPUT_TYPES()
    for group in ("required", "optional"):
        for kind, options in changed[group].values():
            options["tooltip"] = "changed"
            if isinstance(kind, list):
                kind.clear()
    changed["hidden"].clear()
    assert json.dumps(node.INPUT_TYPES()) == before


def test_nodes_are_what_saved_workflows_expect() -> None:
    content = json.loads(json.dumps(described()))
    if os.environ.get("SNAPSHOT") == "write":
        SNAPSHOT.write_text(
            json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
        )
    assert content == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


RELEASED = {
    "SiliconFlowTextToSpeech": "model input voice custom_voice response_format sample_rate speed "
    "gain custom_model extra_body",
    "SiliconFlowEmbeddings": "model input custom_model extra_body",
    "SiliconFlowRerank": "model query documents top_n max_chunks_per_doc overlap_tokens "
    "custom_model extra_body",
}
"""The widgets of a node when it was released, whose values a saved workflow has in this order."""


@pytest.mark.parametrize("name", RELEASED)
def test_widgets_that_came_later_stand_behind_those_of_saved_workflows(name: str) -> None:
    groups = shown(NODE_CLASS_MAPPINGS[name]).values()
    widgets = [key for group in groups for key in group if key not in SOCKETS]
    released = RELEASED[name].split()
    assert widgets[: len(released)] == released
    assert len(widgets) > len(released)


def test_every_node_has_a_display_name() -> None:
    assert set(NODE_DISPLAY_NAME_MAPPINGS) == set(NODE_CLASS_MAPPINGS)


@pytest.mark.parametrize("node", NODES)
def test_a_node_is_async_by_itself_so_that_comfyui_sees_it(node: type[Node]) -> None:
    assert inspect.iscoroutinefunction(getattr(node(), node.FUNCTION))


@pytest.mark.parametrize("node", NODES)
def test_a_node_asks_for_no_rerun_and_is_none_of_comfy_s_own_paid_ones(
    node: type[Node],
) -> None:
    for name in ("API_NODE", "ESSENTIALS_CATEGORY"):
        assert not hasattr(node, name)
    is_free, has_seed = "refresh" in node.optional, "seed" in node.optional
    assert hasattr(node, "IS_CHANGED") == (is_free or has_seed), "free, or a seed of -1"
    assert hasattr(node, "OUTPUT_NODE") == (node.task in FREE)


@pytest.mark.parametrize("node", NODES)
def test_nothing_hidden_makes_a_node_run_again(node: type[Node]) -> None:
    """UNIQUE_ID would be part of ComfyUI's cache key; the workflow is not."""
    assert node.INPUT_TYPES()["hidden"] == {"extra_pnginfo": "EXTRA_PNGINFO"}


def test_a_tooltip_names_a_model_of_both_sites_once_unless_they_differ() -> None:
    options = shown(PAINTERS[0])["optional"]
    (rule,) = [line for line in options["cfg"][1]["tooltip"].split("\n") if ": Qwen-Image" in line]
    assert rule.count("Qwen-Image") == 1
    assert "Qwen-Image (.com)" in options["guidance_scale"][1]["tooltip"]  # .cn has no such field


def test_a_tooltip_names_a_few_living_models_each_once() -> None:
    budget = shown(SiliconFlowChat)["optional"]["thinking_budget"][1]["tooltip"]
    named = re.fullmatch(r"128-32768: (.+) and \d+ more", budget.splitlines()[-1])
    assert named
    names = named[1].split(", ")
    assert len({*names}) == len(names) == MAX_NAMES
    sizes = shown(PAINTERS[0])["optional"]["image_size"][1]["tooltip"]
    assert "Kolors" in sizes
    assert "stable-diffusion" not in sizes


@pytest.mark.parametrize("node", NODES)
def test_every_input_is_explained_with_its_range_and_default(node: type[Node]) -> None:
    for group in shown(node).values():
        for name, (widget, options) in group.items():
            said, kind = options["tooltip"], str(widget)
            assert len(said) > 20, name
            if kind in {"INT", "FLOAT"} and name in catalogue.load().inputs:
                assert re.search(r"\d(-|\.\.)\d", said), name
            is_widget = kind in {"INT", "FLOAT", "STRING", "BOOLEAN"} and name not in SOCKETS
            if is_widget and name not in {"prompt", "refresh"}:
                assert any(word in said.lower() for word in ("default", "empty")), name


@pytest.mark.parametrize("node", NODES)
def test_a_choice_that_is_a_word_is_translated(node: type[Node]) -> None:
    """Names of voices and of file formats are the same in every language."""
    for group in node.INPUT_TYPES().values():
        for name, (kind, _) in ((name, spec) for name, spec in group.items() if name != WORKFLOW):
            if isinstance(kind, list) and name != "model" and (node.task, name) not in NAMES:
                letters = {choice: choice.replace(" ", "") for choice in kind}
                words = [each for each in kind if letters[each].isalpha() and each not in FORMATS]
                assert [word for word in words if not has_text(f"page.choice.{word}")] == []


@pytest.mark.parametrize("node", NODES)
def test_only_what_most_people_touch_is_open(node: type[Node]) -> None:
    """As many as ComfyUI's own nodes of paid services show before *Show advanced inputs*."""
    widgets = {
        name: options
        for group in shown(node).values()
        for name, (_, options) in group.items()
        if name not in SOCKETS and not options.get("hidden")
    }
    assert len([name for name in widgets if not widgets[name].get("advanced")]) <= MOST_OPEN
    assert not [name for name in node.required if widgets.get(name, {}).get("advanced")]


@pytest.mark.parametrize("node", NODES)
def test_every_field_of_every_model_of_the_task_has_an_input(node: type[Node]) -> None:
    inputs = {*node.required, *node.optional}
    for model in catalogue.load().of_task(node.task):
        others = {"image_prompt_strength"} if node.task == "text-to-image" else set()
        others |= set(model.fields) if node.task == "voice" else set()
        assert set(model.fields) - others <= inputs, model.id


@pytest.mark.parametrize("node", NODES)
def test_every_widget_can_hold_what_any_of_its_models_takes(node: type[Node]) -> None:
    widgets = {k: v for group in shown(node).values() for k, v in group.items()}
    for model in catalogue.load().of_task(node.task):
        for name in set(model.fields) & set(widgets):
            field, (kind, options) = model.fields[name], widgets[name]
            if kind == "INT" and field.choices:
                assert all(options["min"] <= int(each) <= options["max"] for each in field.choices)
            elif field.choices:
                assert set(field.choices) <= set(kind)
            elif field.minimum is not None and name not in {"width", "height", "batch_size"}:
                assert options["min"] <= field.minimum
                assert options["max"] >= (field.maximum or 0)


@pytest.mark.parametrize("node", NODES)
def test_a_key_is_never_an_input(node: type[Node]) -> None:
    for group in node.INPUT_TYPES().values():
        assert not [name for name in group if "key" in name or name.endswith("token")]


def test_an_empty_prompt_is_refused_when_the_graph_is_queued() -> None:
    nodes: list[Any] = [*PAINTERS, SiliconFlowChat]
    for node in nodes:
        linked = connected(node)
        assert node.VALIDATE_INPUTS(prompt="a cat", **linked) is True
        assert node.VALIDATE_INPUTS(prompt=None, **linked) is True
        refusal = str(node.VALIDATE_INPUTS(prompt="  ")).split("\n")
        assert refusal == ["prompt: must not be empty.", "Nothing was sent. You were not charged."]


def connected(node: Any) -> dict[str, None]:
    """Return what ComfyUI gives for an image that a node needs and another one provides."""
    return {"image": None} if "image_urls" in node.optional else {}


EDITORS: list[Any] = [node for node in PAINTERS if connected(node)]


@pytest.mark.parametrize("node", EDITORS)
def test_a_workflow_without_an_image_is_refused_when_it_is_queued(node: Any) -> None:
    assert str(node.VALIDATE_INPUTS(prompt="a cat")).startswith("image: connect an image, or")
    for given in ({"image": None}, {"image_urls": None}, {"image_urls": "https://example.com/a"}):
        assert node.VALIDATE_INPUTS(prompt="a cat", **given) is True
    assert str(node.VALIDATE_INPUTS(prompt="", image=None)).startswith("prompt: must not be empty")


WITH_MODELS: list[Any] = [node for node in NODE_CLASS_MAPPINGS.values() if "model" in node.required]


@pytest.mark.parametrize("node", WITH_MODELS)
def test_a_model_that_is_in_no_list_is_refused_when_the_graph_is_queued(node: Any) -> None:
    """ComfyUI gives each value in a list to the nodes that take lists."""
    packed: Any = (lambda value: [value]) if hasattr(node, "INPUT_IS_LIST") else lambda value: value
    gone, own = packed("vendor/gone"), packed("vendor/own")
    assert "is not in the list of models" in str(node.VALIDATE_INPUTS(model=gone))
    linked = connected(node)
    assert node.VALIDATE_INPUTS(model=gone, custom_model=own, **linked) is True
    for model in (packed(node.INPUT_TYPES()["required"]["model"][0][0]), packed(None)):
        assert node.VALIDATE_INPUTS(model=model, **linked) is True


def test_an_empty_prompt_is_refused_in_the_language_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    [node, *_] = PAINTERS
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    refusal = str(node.VALIDATE_INPUTS(prompt=""))
    assert refusal == "提示词（prompt）：不能为空。\n请求没有发出，也没有扣费。"


def test_the_language_of_the_settings_comes_first_when_a_workflow_is_queued(
    write_settings: Callable[..., Path],
) -> None:
    [node, *_] = PAINTERS
    write_settings(language="zh")
    assert "提示词（prompt）：不能为空" in str(node.VALIDATE_INPUTS(prompt=""))
