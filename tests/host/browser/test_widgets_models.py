"""Nodes show what the chosen model takes: compared with the catalogue, model by model."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.nodes.widgets import SOCKETS
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.siliconflow.catalogue import AUTO, CUSTOM, Model
from comfyui_siliconflow.tasks.image_fitting import INPUTS
from comfyui_siliconflow.tests.host.browser.page import Page

DRAW, CHANGE, EDIT = "SiliconFlowTextToImage", "SiliconFlowImageToImage", "SiliconFlowImageEdit"
KOLORS, QWEN = "Kwai-Kolors/Kolors", "Qwen/Qwen-Image"
FLUX, DEV = "black-forest-labs/FLUX.1-schnell", "black-forest-labs/FLUX.1-dev"
PRO = "black-forest-labs/FLUX-1.1-pro"
ONE_IMAGE, THREE_IMAGES = "Qwen/Qwen-Image-Edit", "Qwen/Qwen-Image-Edit-2509"
SEER, BLIND = "Qwen/Qwen3-VL-32B-Instruct", "deepseek-ai/DeepSeek-V2.5"
ALWAYS = {"model", "prompt", "seed", "batch_size", "custom_model", "extra_body", "background"}
ALWAYS |= {"batch_means", "image_urls", *INPUTS}
SQUARE = "1024x1024"
"""The size of FLUX models where the user chose none that they make."""
COMPANION = "control_after_generate"


@pytest.fixture
def page(page: Page) -> Page:
    return page


def names_of(node_type: str) -> list[str]:
    node = NODE_CLASS_MAPPINGS[node_type]
    return [name for name in (*node.required, *node.optional) if name not in SOCKETS]


def models_of(node_type: str) -> list[Model]:
    all_models = catalogue.load()
    listed = all_models.of_task(NODE_CLASS_MAPPINGS[node_type].task)
    return [all_models.find(model_id, "cn") for model_id in dict.fromkeys(m.id for m in listed)]


def expected(node_type: str, model: Model) -> list[str]:
    """Name the widgets that a model has use for while the size is auto."""
    shown = ALWAYS | set(model.fields) - {"width", "height"}
    if "width" in model.fields:
        shown.add("image_size")
    return [name for name in names_of(node_type) if name in shown]


def seen(page: Page, node: int) -> list[str]:
    return [name for name in page.visible(node) if name != COMPANION]


@pytest.mark.parametrize("node_type", [DRAW, CHANGE, EDIT])
def test_each_model_shows_its_fields_and_no_others(page: Page, node_type: str) -> None:
    node = page.add(node_type)
    page.fit()
    for model in models_of(node_type):
        page.change(node, "model", model.id)
        page.settle()
        assert seen(page, node) == expected(node_type, model), model.id


@pytest.mark.parametrize("node_type", [DRAW, CHANGE])
def test_each_model_offers_the_sizes_that_it_makes(page: Page, node_type: str) -> None:
    node = page.add(node_type)
    for model in models_of(node_type):
        page.change(node, "model", model.id)
        field = model.fields.get("image_size")
        any_size = [CUSTOM] if not field or field.custom else []
        choices = field.choices if field else ()
        assert page.options(node, "image_size")["values"] == [AUTO, *choices, *any_size], model.id


def test_a_model_is_chosen_with_the_mouse(page: Page) -> None:
    node = page.add(DRAW)
    page.fit()
    page.choose(node, "model", QWEN)
    assert page.values(node)["model"] == QWEN
    assert "cfg" in page.visible(node)
    page.choose(node, "image_size", "1664x928")
    assert page.values(node)["image_size"] == "1664x928"


def test_width_and_height_come_with_the_size_custom(page: Page) -> None:
    node = page.add(DRAW)
    page.fit()
    assert "width" not in page.visible(node)
    page.choose(node, "image_size", CUSTOM)
    assert {"width", "height"} <= set(page.visible(node))
    page.choose(node, "image_size", AUTO)
    assert "height" not in page.visible(node)


def test_a_range_is_the_models(page: Page) -> None:
    node = page.add(DRAW)
    page.change(node, "model", DEV)
    assert page.options(node, "num_inference_steps")["max"] == 30
    page.change(node, "model", PRO)
    page.change(node, "image_size", CUSTOM)
    assert page.options(node, "width") == {"values": None, "min": 256, "max": 1440, "step2": 32}
    page.change(node, "model", KOLORS)
    assert page.options(node, "width")["max"] == 4096


def test_what_was_typed_comes_back_with_the_model(page: Page) -> None:
    node = page.add(DRAW)
    page.fit()
    page.choose(node, "model", QWEN)
    page.choose(node, "image_size", "1664x928")
    page.change(node, "num_inference_steps", 60)
    page.change(node, "cfg", 4.5)
    page.choose(node, "model", DEV)
    values = page.values(node)
    assert (values["image_size"], values["num_inference_steps"], values["cfg"]) == (SQUARE, 30, 4.5)
    page.choose(node, "model", QWEN)
    back = page.values(node)
    assert (back["image_size"], back["num_inference_steps"], back["cfg"]) == ("1664x928", 60, 4.5)


def test_what_is_shown_is_what_is_sent(page: Page) -> None:
    node = page.add(DRAW)
    page.change(node, "prompt", "A kite")
    page.change(node, "model", QWEN)
    page.change(node, "image_size", "1664x928")
    page.change(node, "model", FLUX)
    assert page.exported()[str(node)]["inputs"]["image_size"] == SQUARE


def test_the_node_takes_the_room_that_its_widgets_need(page: Page) -> None:
    """And no more: a node that grew shrinks again, and keeps what the user added."""
    node = page.add(DRAW)
    width, small = page.size(node)
    page.change(node, "model", FLUX)
    page.settle()
    assert page.size(node)[1] < small
    page.change(node, "model", KOLORS)
    page.settle()
    assert page.size(node)[0] == width
    assert page.size(node)[1] == pytest.approx(small, abs=60)


def test_how_closely_to_look_is_requested_of_models_that_see(page: Page) -> None:
    node = page.add("SiliconFlowChat")
    page.fit()
    for model, sees in (("Qwen/Qwen2.5-7B-Instruct", False), (SEER, True), (BLIND, False)):
        page.change(node, "model", model)
        page.settle()
        assert ("detail" in page.visible(node)) is sees, model
        assert page.exported()[str(node)]["inputs"]["detail"] == "auto"


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_image_that_the_model_does_not_take_is_marked_as_unused(
    page: Page, language: str
) -> None:
    names, mark = ("⚠ image2", "image3", "references"), " (not supported by this model)"
    if language == "zh":
        names, mark = ("⚠ 图片 2", "图片 3", "参考图"), "（当前模型不支持）"
    node, source = page.add(EDIT), page.add("EmptyImage", (-300, 200))
    page.link(source, 0, node, "image2")
    before = page.slots(node)
    page.fit()
    page.choose(node, "model", ONE_IMAGE)
    image2, image3, references = (name + mark for name in names)
    assert page.slots(node) == [before[0], image2, image3, before[3], references]
    assert page.exported()[str(node)]["inputs"]["image2"] == [str(source), 0]
    page.choose(node, "model", THREE_IMAGES)
    assert page.slots(node) == before


def test_a_model_that_was_written_down_gets_everything(page: Page) -> None:
    node = page.add(DRAW)
    page.change(node, "model", FLUX)
    page.change(node, "custom_model", "some/model")
    page.settle()
    assert seen(page, node) == names_of(DRAW)
    page.change(node, "custom_model", "")
    page.settle()
    assert "cfg" not in page.visible(node)


@pytest.mark.parametrize(("language", "said"), [("en", ".com only"), ("zh", "仅 .com")])
def test_a_model_of_the_other_site_says_so(page: Page, said: str) -> None:
    node = page.add(DRAW)
    assert said not in page.badges(node)
    page.change(node, "model", PRO)
    page.settle(2)
    assert said in page.badges(node)
    page.change(node, "model", KOLORS)
    page.settle(2)
    assert said not in page.badges(node)


@pytest.mark.parametrize(
    ("language", "said"), [("en", "retired 2025-03-06"), ("zh", "已于 2025-03-06 下线")]
)
def test_a_retired_model_says_since_when(page: Page, said: str) -> None:
    node = page.add(DRAW)
    page.change(node, "model", DEV)
    page.settle(2)
    assert said in page.badges(node)
    page.change(node, "model", KOLORS)
    page.settle(2)
    assert said not in page.badges(node)


@pytest.mark.parametrize(("language", "said"), [("en", "not in the list"), ("zh", "不在列表中")])
def test_a_saved_model_that_is_in_no_list_says_so(page: Page, said: str) -> None:
    node = page.add(DRAW)
    workflow = page.saved()
    workflow["nodes"][0]["widgets_values"][0] = "gone/model"
    workflow["nodes"][0].get("widgets_values_named", {}).pop("model", None)
    page.load(workflow)
    assert page.values(node)["model"] == "gone/model"
    assert said in page.badges(node)
    assert page.exported()[str(node)]["inputs"]["model"] == "gone/model"


def test_putting_the_definitions_again_keeps_the_models_sizes(page: Page) -> None:
    """Pressing R: ComfyUI then puts back every choice that the node declares."""
    node = page.add(DRAW)
    page.change(node, "model", FLUX)
    before = page.options(node, "image_size")
    page.command("Comfy.RefreshNodeDefinitions")
    page.settle(4)
    assert page.options(node, "image_size") == before
    assert "cfg" not in page.visible(node)


def test_without_the_scripts_the_node_sends_the_same(
    open_page: Callable[..., Page], look: str
) -> None:
    with_scripts = open_page(look)
    node = with_scripts.add(DRAW)
    for name, value in {"prompt": "A kite", "cfg": 5, "model": QWEN, "image_size": CUSTOM}.items():
        with_scripts.change(node, name, value)
    plain = open_page(look, scripts=False)
    plain.load(with_scripts.saved())
    assert len(plain.visible(node)) > len(with_scripts.visible(node))
    assert plain.exported() == with_scripts.exported()
