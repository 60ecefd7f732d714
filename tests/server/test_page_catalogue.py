"""The catalogue for the page, and the list of models that the service gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.nodes.image_nodes import SiliconFlowTextToImage
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.tests.server.conftest import Page

DRAW = "SiliconFlowTextToImage"
EDIT = "SiliconFlowImageEdit"
KOLORS = "Kwai-Kolors/Kolors"
NEW = "Someone/New-Model"
SCHNELL = "black-forest-labs/FLUX.1-schnell"
WITH_MODELS = [name for name, node in NODE_CLASS_MAPPINGS.items() if "model" in node.required]


@pytest.fixture
def account(simulator: Simulator) -> Simulator:
    """Serve one model more than the catalogue has, and none of the other site."""
    simulator.add_model(NEW, {"type": "object"})
    return simulator


def models(answer: dict[str, Any], node_id: str = DRAW) -> dict[str, Any]:
    return {model["id"]: model for model in answer["nodes"][node_id]["models"]}


def combo(node_id: str = DRAW) -> list[str]:
    found: list[str] = NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES()["required"]["model"][0]
    return found


def marks(answer: dict[str, Any], node_id: str) -> set[str | None]:
    return {model["mark"] for model in models(answer, node_id).values()}


@pytest.mark.parametrize("node_id", NODE_CLASS_MAPPINGS)
def test_the_page_gets_every_model_of_the_widget_once_and_in_its_order(
    page: Page, node_id: str
) -> None:
    node = page.get("/catalogue")["nodes"][node_id]
    declared = NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES()
    offered = combo(node_id) if "model" in declared["required"] else []
    assert [model["id"] for model in node["models"]] == offered
    assert node["inputs"] == [*declared["required"], *declared["optional"]]


def test_a_model_of_both_sites_is_listed_as_the_site_in_use_has_it(page: Page) -> None:
    here = models(page.get("/catalogue"))["Qwen/Qwen-Image"]
    assert (here["site"], "batch_size" in here["fields"]) == ("cn", False)
    page.post("/settings", {"site": "com"})
    there = models(page.get("/catalogue"))["Qwen/Qwen-Image"]
    assert (there["site"], "batch_size" in there["fields"]) == ("com", True)


def test_a_retired_model_is_marked_and_says_since_when(page: Page) -> None:
    offered = models(page.get("/catalogue"))
    schnell, kolors = offered[SCHNELL], offered[KOLORS]
    assert (schnell["mark"], schnell["retired"]) == ("retired", "2025-03-06")
    assert (kolors["mark"], kolors["retired"]) == (None, None)
    assert kolors["published"] == "2024-07-06"
    assert kolors["price"] == {"currency": "CNY", "as_of": "2026-07-21", "image": 0}


@pytest.mark.usefixtures("account")
def test_a_retired_model_that_the_account_still_has_bears_no_mark(page: Page) -> None:
    assert models(page.post("/models/refresh"))[SCHNELL]["mark"] is None


@pytest.mark.usefixtures("account")
def test_what_the_account_has_comes_first_and_what_it_lacks_is_folded_behind(page: Page) -> None:
    page.post("/models/refresh")
    first = combo()
    order = [first.index(model) for model in (KOLORS, NEW, SCHNELL, "black-forest-labs/FLUX.2-pro")]
    assert order == sorted(order)
    assert order[0] == 0
    page.post("/settings", {"site": "com"})
    assert models(page.get("/catalogue"))[combo()[0]]["site"] == "com"


@pytest.mark.parametrize("node_id", WITH_MODELS)
def test_a_retired_model_can_be_run_and_stands_behind_every_living_one(node_id: str) -> None:
    all_models = catalogue.load()
    node = NODE_CLASS_MAPPINGS[node_id]
    found = [all_models.find(model_id, "cn").is_retired for model_id in combo(node_id)]
    assert found == sorted(found)
    retired = [model.id for model in all_models.of_task(node.task) if model.is_retired]
    assert set(retired) <= set(combo(node_id))


def test_a_field_is_listed_as_the_catalogue_has_it(page: Page) -> None:
    answer = page.get("/catalogue")
    steps = models(answer)[KOLORS]["fields"]["num_inference_steps"]
    assert (steps["type"], steps["minimum"], steps["maximum"]) == ("integer", 1, 100)
    assert (steps["default"], steps["required"]) == (20, True)
    assert models(answer, EDIT)["Qwen/Qwen-Image-Edit-2509"]["images"] == [
        *("image", "image2", "image3")
    ]
    assert answer["inputs"]["image_size"]["unset"] == "auto"
    assert answer["refreshed_at"] is None


def test_settings_that_cannot_be_used_hide_no_widget(page: Page, write_settings: Any) -> None:
    write_settings(site="nowhere")
    assert page.get("/catalogue")["site"] == "cn"
    assert combo()


def test_a_refresh_marks_what_is_new_and_what_the_account_lacks(
    page: Page, account: Simulator
) -> None:
    before = combo()
    offered = models(page.post("/models/refresh"))
    assert {entry.path for entry in account.requests} == {"/v1/models", "/v1/audio/voice/list"}
    assert offered[NEW] == {
        "id": NEW,
        "name": NEW,
        "site": "cn",
        "listed": False,
        "mark": "new",
        "guessed_from": "",
        "images": ["image", "image2", "image3", "image4"],
        "fields": {},
        "defaults": {},
        "published": None,
        "retired": None,
        "price": None,
    }
    assert offered["black-forest-labs/FLUX.2-pro"]["mark"] == "missing"
    assert offered[KOLORS]["mark"] is None
    assert sorted(combo()) == sorted([*before, NEW])


@pytest.mark.parametrize("node_id", ["SiliconFlowTextToSpeech", "SiliconFlowUploadVoice"])
def test_new_speech_models_are_the_audio_models_that_do_not_only_transcribe(
    page: Page, simulator: Simulator, node_id: str
) -> None:
    simulator.add_model("Someone/Speaks", {"type": "object"}, ("text-to-speech",))
    simulator.add_model("Someone/Listens", {"type": "object"}, ("speech-to-text",))
    listening = catalogue.load().of_task("speech-to-text")
    offered = models(page.post("/models/refresh"), node_id)
    assert offered["Someone/Speaks"]["mark"] == "new"
    assert "Someone/Speaks" in combo(node_id)
    assert not {"Someone/Listens", *(model.id for model in listening)} & set(combo(node_id))
    assert offered["FunAudioLLM/CosyVoice2-0.5B"]["mark"] is None


@pytest.mark.parametrize(
    ("kinds", "mark"),
    [
        ({"chat": [], "speaking": ["Someone/Else"]}, "missing"),
        ({"chat": [], "speaking": []}, None),
        ({"chat": []}, None),  # a list of an earlier version, which did not ask for them
    ],
)
@pytest.mark.usefixtures("account")
def test_a_model_is_missing_in_a_list_of_its_kind_alone(
    page: Page, tmp_path: Path, kinds: dict[str, list[str]], mark: str | None
) -> None:
    page.post("/models/refresh")
    file = tmp_path / "data" / "models.json"
    [account] = json.loads(file.read_text())["accounts"]
    saved = {"refreshed_at": 1, "kinds": kinds}
    file.write_text(json.dumps({"accounts": {account: saved}}))
    answer = page.get("/catalogue")
    assert marks(answer, "SiliconFlowTextToSpeech") - {"new"} == {mark, "retired"}
    assert marks(answer, DRAW) == {None, "retired"}


def test_a_refreshed_list_is_saved_and_read_without_the_service(
    page: Page, account: Simulator
) -> None:
    page.post("/models/refresh")
    requests_before = len(account.requests)
    answer = page.get("/catalogue")
    assert models(answer)[NEW]["mark"] == "new"
    assert answer["refreshed_at"] > 0
    assert len(account.requests) == requests_before


@pytest.mark.usefixtures("account")
def test_the_list_of_one_account_is_not_another_s(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.post("/models/refresh")
    monkeypatch.setenv("SILICONFLOW_API_KEY", "sk-another")
    assert page.get("/catalogue")["refreshed_at"] is None
    assert NEW not in combo()


@pytest.mark.usefixtures("account")
@pytest.mark.parametrize("content", ["", "{", "[]", '{"accounts": {"x": 1}}', '{"accounts": []}'])
def test_a_damaged_list_counts_as_absent_and_is_replaced(
    page: Page, tmp_path: Path, content: str
) -> None:
    file = tmp_path / "data" / "models.json"
    file.parent.mkdir(exist_ok=True)
    file.write_text(content)
    assert page.get("/catalogue")["refreshed_at"] is None
    assert file.read_text() == content
    page.post("/models/refresh")
    assert NEW in combo()
    assert json.loads(file.read_text())["accounts"]


def test_a_failed_refresh_leaves_the_old_list(page: Page, account: Simulator) -> None:
    page.post("/models/refresh")
    account.fail(503, on="models")
    status, error = page.refused("POST", "/models/refresh")
    assert (status, error["kind"]) == (502, "Overloaded")
    assert NEW in combo()


def test_a_list_without_any_model_is_an_error(page: Page, account: Simulator) -> None:
    page.post("/models/refresh")
    bodies: list[Any] = [{"data": []}, {"data": []}, {"data": None}, []]
    for body in bodies:
        account.fail(200, body=body, on="models")
    assert page.refused("POST", "/models/refresh")[1]["kind"] == "BadAnswer"
    assert page.refused("POST", "/models/refresh")[1]["kind"] == "BadAnswer"
    assert page.refused("POST", "/models/refresh")[1]["kind"] == "BadAnswer"
    assert NEW in combo()


def test_the_file_holds_no_key(page: Page, account: Simulator, tmp_path: Path) -> None:
    page.post("/models/refresh")
    assert account.key not in (tmp_path / "data" / "models.json").read_text()


def test_a_model_of_the_account_s_list_only_generates_images(
    page: Page, account: Simulator, run_node: Any
) -> None:
    page.post("/models/refresh")
    images, _, info = run_node(DRAW, model=NEW, prompt="a cat", image_size="512x512")
    assert images.shape[1:3] == (512, 512)
    assert info["model"] == NEW
    assert account.generations[-1].body["model"] == NEW


@pytest.mark.usefixtures("account")
def test_an_unknown_model_is_refused_in_both_languages_before_anything_is_paid(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    node = SiliconFlowTextToImage
    said = str(node.VALIDATE_INPUTS(prompt="a cat", model="Gone/Model"))
    assert said.startswith('model: "Gone/Model" is not in the list')
    assert "custom_model" in said
    assert "refresh" in said
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    said = str(node.VALIDATE_INPUTS(prompt="a cat", model="Gone/Model"))
    assert "Gone/Model" in said
    assert "刷新" in said


def test_a_known_a_new_and_a_custom_model_are_accepted(page: Page, account: Simulator) -> None:
    validate = SiliconFlowTextToImage.VALIDATE_INPUTS
    assert validate(prompt="a cat", model=KOLORS) is True
    assert validate(prompt="a cat", model=NEW) is not True
    page.post("/models/refresh")
    assert validate(prompt="a cat", model=NEW) is True
    assert validate(prompt="a cat", model="Gone/Model", custom_model="Own/Model") is True
    assert account.generations == []


def test_inputs_that_other_nodes_provide_are_accepted() -> None:
    validate = SiliconFlowTextToImage.VALIDATE_INPUTS
    assert validate(prompt=None, model=None) is True
    assert validate(prompt="a cat", model="Gone/Model", custom_model=None) is True


def test_a_model_of_another_task_is_refused_as_unknown_here() -> None:
    edits = [model.id for model in catalogue.load().of_task("image-edit")]
    said = SiliconFlowTextToImage.VALIDATE_INPUTS(prompt="a cat", model=edits[0])
    assert edits[0] in str(said)
