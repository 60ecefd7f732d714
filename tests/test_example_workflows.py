"""The example workflows: files as ComfyUI's page saves them, checked against the pack's nodes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.generators.page_locales import read_texts
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import catalogue
from PIL import Image

FOLDER = Path(__file__).parent.parent / "example_workflows"
FILES = sorted(FOLDER.glob("*.json"))
NAMES = {
    "Batch from one prompt",
    "Pick the best caption and draw it",
    "Chained with local nodes",
    "Chat writes the prompt",
    "Edit only the mask",
    "Edit with a Chinese prompt",
    "Edit with three images",
    "Five references, one picture",
    "Image to image",
    "Describe an image and redraw it",
    "Same prompt on several models",
    "Same size as the photo",
    "Text to speech to text",
    "Storyboard",
    "Text to image",
    "Words to clip",
    "Image to clip",
    "Storyboard of clips",
}
TITLE_HEIGHT = 30
WIDEST_THUMBNAIL = 640
LARGEST_THUMBNAIL = 60_000

Json = dict[str, Any]
Widgets = Mapping[str, tuple[Any, Mapping[str, Any]]]

IMAGE: tuple[Any, Json] = ("IMAGE", {})
MASK: tuple[Any, Json] = ("MASK", {})
AUDIO: tuple[Any, Json] = ("AUDIO", {})
VIDEO: tuple[Any, Json] = ("VIDEO", {})
ANYTHING: tuple[Any, Json] = ("*", {})
TEXT: tuple[Any, Json] = ("STRING", {})


def whole(low: int, high: int) -> tuple[Any, Json]:
    return "INT", {"min": low, "max": high}


def number(low: float, high: float) -> tuple[Any, Json]:
    return "FLOAT", {"min": low, "max": high}


@dataclass(frozen=True)
class Kind:
    """A node type: its inputs in order, as `INPUT_TYPES` describes them, and its outputs."""

    inputs: Widgets
    outputs: tuple[str, ...] = ()

    @property
    def widgets(self) -> list[tuple[str, Any, Mapping[str, Any]]]:
        """Name, type and options of each saved value, in order."""
        return list(self._widgets())

    def _widgets(self) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
        for name, (kind, options) in self.inputs.items():
            if kind not in SOCKETS and not options.get("forceInput"):
                yield name, kind, options
            if options.get("control_after_generate"):
                yield "control_after_generate", ["fixed", "increment", "decrement", "randomize"], {}


SOCKETS = ("IMAGE", "MASK", "AUDIO", "VIDEO", "SILICONFLOW_CONVERSATION", "*")
UPSCALE = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
BLEND = ["normal", "multiply", "screen", "overlay", "soft_light", "difference"]
STOCK = {
    "LoadImage": Kind(
        {"image": (["example.png"], {}), "upload": (["image"], {})}, ("IMAGE", "MASK")
    ),
    "SaveImage": Kind({"images": IMAGE, "filename_prefix": TEXT}),
    "PreviewImage": Kind({"images": IMAGE}),
    "ImageScale": Kind(
        {
            "image": IMAGE,
            "upscale_method": (UPSCALE, {}),
            "width": whole(0, 16384),
            "height": whole(0, 16384),
            "crop": (["disabled", "center"], {}),
        },
        ("IMAGE",),
    ),
    "ImageBlur": Kind(
        {"image": IMAGE, "blur_radius": whole(1, 31), "sigma": number(0.1, 10)}, ("IMAGE",)
    ),
    "ImageBlend": Kind(
        {
            "image1": IMAGE,
            "image2": IMAGE,
            "blend_factor": number(0, 1),
            "blend_mode": (BLEND, {}),
        },
        ("IMAGE",),
    ),
    "EmptyImage": Kind(
        {
            "width": whole(1, 16384),
            "height": whole(1, 16384),
            "batch_size": whole(1, 4096),
            "color": whole(0, 0xFFFFFF),
        },
        ("IMAGE",),
    ),
    "ImageColorToMask": Kind({"image": IMAGE, "color": whole(0, 0xFFFFFF)}, ("MASK",)),
    "MaskComposite": Kind(
        {
            "destination": MASK,
            "source": MASK,
            "x": whole(0, 16384),
            "y": whole(0, 16384),
            "operation": (["multiply", "add", "subtract", "and", "or", "xor"], {}),
        },
        ("MASK",),
    ),
    "PrimitiveStringMultiline": Kind({"value": TEXT}, ("STRING",)),
    "PreviewAny": Kind({"source": ANYTHING}),
    "PreviewAudio": Kind({"audio": AUDIO}),
    "RebatchImages": Kind({"images": IMAGE, "batch_size": whole(1, 4096)}, ("IMAGE",)),
    "SaveVideo": Kind(
        {
            "video": VIDEO,
            "filename_prefix": TEXT,
            "format": (["auto", "mp4"], {}),
            "codec": (["auto", "h264"], {}),
        }
    ),
    "GetVideoComponents": Kind({"video": VIDEO}, ("IMAGE", "AUDIO", "FLOAT")),
    "CreateVideo": Kind({"images": IMAGE, "fps": number(1, 120)}, ("VIDEO",)),
    "MarkdownNote": Kind({"text": TEXT}),
}
"""What is in ComfyUI 0.3.64, 0.8.0 and 0.33.0 alike, and deprecated in none of them."""


def kind_of(node: Json) -> Kind:
    """Describe the type of a node; KeyError if it is neither ours nor stock."""
    if node["type"] in STOCK:
        return STOCK[node["type"]]
    own = NODE_CLASS_MAPPINGS[node["type"]]
    types = own.INPUT_TYPES()
    return Kind({**types["required"], **types["optional"]}, own.RETURN_TYPES)


def values_of(node: Json) -> Json:
    """Return the saved values of a node by name."""
    names = [name for name, _, _ in kind_of(node).widgets]
    return dict(zip(names, node.get("widgets_values", []), strict=True))


def is_valid(value: Any, kind: Any, options: Mapping[str, Any]) -> bool:
    if isinstance(kind, list):
        return value in kind
    if kind in {"INT", "FLOAT"}:
        right = type(value) is int or (kind == "FLOAT" and type(value) is float)
        return right and options["min"] <= value <= options["max"]
    return isinstance(value, {"STRING": str, "BOOLEAN": bool}[kind])


def texts_in(value: Any) -> Iterator[str]:
    """Yield every text in a JSON value, names of fields included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
    elif isinstance(value, dict):
        yield from texts_in([*value.keys(), *value.values()])


def own_nodes(workflow: Json) -> list[Json]:
    return [node for node in workflow["nodes"] if node["type"] in NODE_CLASS_MAPPINGS]


@pytest.fixture(params=FILES, ids=[file.stem for file in FILES])
def file(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


@pytest.fixture
def workflow(file: Path) -> Json:
    loaded: Json = json.loads(file.read_text(encoding="utf-8"))
    return loaded


@pytest.fixture
def nodes(workflow: Json) -> dict[int, Json]:
    return {node["id"]: node for node in workflow["nodes"]}


def test_every_example_has_a_title_in_each_language() -> None:
    """The page finds it by the name of the file."""
    keys = {f"template.{re.sub(r'[^a-z0-9]+', '_', name.lower())}" for name in NAMES}
    for texts in read_texts().values():
        titles = {key: title for key, title in texts.items() if key.startswith("template.")}
        assert {*titles} == keys
        assert len({*titles.values()}) == len(NAMES)


def test_all_examples_are_there() -> None:
    assert {file.stem for file in FILES} == NAMES


def test_every_node_is_ours_or_stock(workflow: Json) -> None:
    types = {node["type"] for node in workflow["nodes"]}
    assert types <= {*NODE_CLASS_MAPPINGS, *STOCK}
    assert own_nodes(workflow)


def test_every_node_names_its_pack_and_version(workflow: Json) -> None:
    """By these the page offers to install a pack that is missing."""
    nodes = [node for node in workflow["nodes"] if node["type"] != "MarkdownNote"]
    for node in nodes:
        pack = "siliconflow-nodes" if node["type"] in NODE_CLASS_MAPPINGS else "comfy-core"
        assert node["properties"]["cnr_id"] == pack, node["type"]
        assert re.fullmatch(r"\d+\.\d+\.\d+", node["properties"]["ver"])


def test_one_template_is_an_app_with_fields_and_an_image_to_show() -> None:
    workflows = [json.loads(file.read_text(encoding="utf-8")) for file in FILES]
    [app] = [each for each in workflows if each["extra"].get("linearMode")]
    nodes = {str(node["id"]): node for node in app["nodes"]}
    for node_id, name in app["extra"]["linearData"]["inputs"]:
        assert name in values_of(nodes[node_id])
    shown = [nodes[node_id]["type"] for node_id in app["extra"]["linearData"]["outputs"]]
    assert shown == ["SaveImage"]


def test_there_is_a_saved_value_for_each_widget(workflow: Json) -> None:
    for node in workflow["nodes"]:
        assert len(node.get("widgets_values", [])) == len(kind_of(node).widgets), node["type"]


def test_the_values_by_name_say_the_same(workflow: Json) -> None:
    for node in workflow["nodes"]:
        assert node.get("widgets_values_named", {}) == values_of(node), node["type"]


def test_every_value_is_one_that_the_widget_takes(workflow: Json) -> None:
    for node in workflow["nodes"]:
        values = values_of(node)
        for name, kind, options in kind_of(node).widgets:
            assert is_valid(values[name], kind, options), (node["type"], name, values[name])


def test_both_ends_of_each_link_know_it(workflow: Json, nodes: dict[int, Json]) -> None:
    links = {link[0]: link for link in workflow["links"]}
    left = {(n["id"], at): o["links"] or [] for n in nodes.values() for at, o in outputs(n)}
    into = {(n["id"], at): i["link"] for n in nodes.values() for at, i in inputs(n) if i["link"]}
    assert sorted(link for leaving in left.values() for link in leaving) == sorted(links)
    assert sorted(into.values()) == sorted(links)
    for number, source, out, target, slot, _ in links.values():
        assert number in left[source, out]
        assert into[target, slot] == number


def outputs(node: Json) -> Iterator[tuple[int, Json]]:
    return enumerate(node.get("outputs", []))


def inputs(node: Json) -> Iterator[tuple[int, Json]]:
    return enumerate(node.get("inputs", []))


def test_each_link_carries_what_the_input_takes(workflow: Json, nodes: dict[int, Json]) -> None:
    for _, source, out, target, slot, kind in workflow["links"]:
        name = nodes[target]["inputs"][slot]["name"]
        assert kind_of(nodes[source]).outputs[out] == kind
        assert kind_of(nodes[target]).inputs[name][0] in {kind, "*"}


def test_every_image_that_a_node_needs_is_connected(workflow: Json) -> None:
    for node in workflow["nodes"]:
        needed = {name for name, (kind, _) in kind_of(node).inputs.items() if kind in SOCKETS}
        linked = {at["name"] for _, at in inputs(node) if at["link"]}
        own = NODE_CLASS_MAPPINGS.get(node["type"])
        optional = set(own.optional) if own else set()
        assert needed - optional <= linked, node["type"]


def test_the_next_ids_are_free(workflow: Json) -> None:
    assert workflow["last_node_id"] >= max(node["id"] for node in workflow["nodes"])
    assert workflow["last_link_id"] >= max(link[0] for link in workflow["links"])


def test_no_two_nodes_overlap(workflow: Json) -> None:
    for one, other in combinations(workflow["nodes"], 2):
        (left, top, right, bottom), (left2, top2, right2, bottom2) = box(one), box(other)
        apart = right <= left2 or right2 <= left or bottom <= top2 or bottom2 <= top
        assert apart, (one["type"], other["type"])


def test_every_link_goes_to_the_right(workflow: Json, nodes: dict[int, Json]) -> None:
    """One that goes back is drawn behind the very node that it leaves."""
    for _, source, _, target, _, _ in workflow["links"]:
        assert box(nodes[source])[2] < box(nodes[target])[0], (source, target)


def box(node: Json) -> tuple[float, float, float, float]:
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE_HEIGHT, x + width, y + height


def test_every_node_is_switched_on(workflow: Json) -> None:
    assert all(node["mode"] == 0 and not node["flags"] for node in workflow["nodes"])


def test_seeds_are_fixed(workflow: Json) -> None:
    for node in own_nodes(workflow):
        assert values_of(node).get("control_after_generate", "fixed") == "fixed"


def test_nothing_is_set_that_the_list_of_models_lacks(workflow: Json) -> None:
    for node in own_nodes(workflow):
        values = values_of(node)
        assert values.get("extra_body", "") == values["custom_model"] == ""


def test_every_model_is_one_that_the_site_of_a_new_account_has(workflow: Json) -> None:
    used = [values_of(node)["model"] for node in own_nodes(workflow)]
    models = [catalogue.load().find(model_id, "cn") for model_id in used]
    assert models
    assert [model.id for model in models if model.is_retired or model.site != "cn"] == []


def test_no_text_looks_like_a_key(workflow: Json) -> None:
    del workflow["id"]
    key = re.compile(r"sk-|bearer|(?=\w*\d)(?=\w*[a-z])\w{24,}", re.IGNORECASE)
    assert [text for text in texts_in(workflow) if key.search(text)] == []


def test_the_note_explains_it_in_both_languages(workflow: Json) -> None:
    (note,) = [node for node in workflow["nodes"] if node["type"] == "MarkdownNote"]
    text = values_of(note)["text"]
    english, _, chinese = (part for part in re.split(r"(## [^\x00-\x7f]+\n)", text))
    assert "charged" in english
    assert "扣费" in chinese
    for note, settings in ((english, "Settings > SiliconFlow"), (chinese, "设置 > SiliconFlow")):
        assert note.count("SILICONFLOW_API_KEY") == 1
        assert 0 < note.find(settings) < note.find("SILICONFLOW_API_KEY")


def test_the_note_names_every_model_that_is_free(workflow: Json) -> None:
    (note,) = [node for node in workflow["nodes"] if node["type"] == "MarkdownNote"]
    words = values_of(note)["text"]
    used = {values_of(node)["model"] for node in own_nodes(workflow)}
    models = [catalogue.load().find(model_id, "cn") for model_id in used]
    assert models
    free = [model.id.rpartition("/")[2] for model in models if model.is_free("cn")]
    assert [name for name in free if words.count(name) < 2] == []


def test_the_thumbnail_is_a_small_image(file: Path) -> None:
    thumbnail = file.with_suffix(".jpg")
    assert thumbnail.stat().st_size < LARGEST_THUMBNAIL
    with Image.open(thumbnail) as image:
        image.load()
        assert image.format == "JPEG"
        assert max(image.size) <= WIDEST_THUMBNAIL


def test_every_thumbnail_belongs_to_an_example() -> None:
    assert {image.stem for image in FOLDER.glob("*.jpg")} == NAMES


@pytest.mark.parametrize("service", ["today", "simulator"])
def test_every_node_of_ours_gives_what_it_should(
    request: pytest.FixtureRequest,
    workflow: Json,
    service: str,
    outputs_of: Callable[..., Json],
) -> None:
    """On an account of today, with the settings as they come, and by the older documents."""
    simulator: Simulator = request.getfixturevalue(service)
    for node in own_nodes(workflow):
        outputs = outputs_of(node["type"], **arguments(workflow, node))
        if "images" in outputs:
            assert outputs["images"].shape[0] == values_of(node)["batch_size"]
        assert outputs["info"]["not_sent"] == []
        assert outputs["info"]["requests"]
    assert {record.status for record in simulator.requests} == {200}


def arguments(workflow: Json, node: Json) -> Json:
    """Return the inputs that ComfyUI would pass: saved values, and something for each link."""
    values = {k: v for k, v in values_of(node).items() if k != "control_after_generate"}
    linked = {at["name"]: at["type"] for _, at in inputs(node) if at["link"]}
    text = first_text(workflow)
    sources = {
        "IMAGE": torch.zeros(1, 64, 64, 3),
        "MASK": torch.ones(1, 64, 64),
        "AUDIO": {"waveform": torch.zeros(1, 1, 800), "sample_rate": 8000},
        "STRING": text or "A boat",
    }
    given = {name: sources[kind] for name, kind in linked.items()}
    if "references" in given:
        given["references"] = torch.zeros(2, 64, 64, 3)
    return {**values, **given, **({"texts": [text]} if "texts" in linked else {})}


def first_text(workflow: Json) -> str:
    texts = [n for n in workflow["nodes"] if n["type"] == "PrimitiveStringMultiline"]
    return next((str(values_of(node)["value"]) for node in texts), "")
