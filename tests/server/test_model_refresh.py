"""The list of an account's models: when it is fetched by itself, and what becomes of new models."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.nodes.image_nodes import SiliconFlowTextToImage
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.siliconflow.errors import BadRequest
from comfyui_siliconflow.siliconflow.resources.models import SUB_TYPES
from comfyui_siliconflow.storage.model_lists import ModelList, save_model_list
from comfyui_siliconflow.tests.server.conftest import Event, Page
from comfyui_siliconflow.tests.waiting import pack_threads, until

DRAW, TO_IMAGE, EDIT = "SiliconFlowTextToImage", "SiliconFlowImageToImage", "SiliconFlowImageEdit"
CHAT, EMBED = "SiliconFlowChat", "SiliconFlowEmbeddings"
KOLORS = "Kwai-Kolors/Kolors"
NEW, EDITOR, TALKER = "Someone/New-Model", "Qwen/Qwen-Image-Edit-2611", "Qwen/Qwen3-300B"
PAST_A_DAY = 90_000
REQUESTS_OF_A_LIST = len(SUB_TYPES) + 2
ASKED = {"model": KOLORS, "prompt": "a cat", "image_size": "custom", "width": 96, "height": 64}


@pytest.fixture
def account(simulator: Simulator, write_settings: Callable[..., Path]) -> Simulator:
    """Serve a model of no family, and two that are new in theirs; nobody looks at the balance."""
    write_settings(show_balance=False)
    simulator.add_model(NEW, {"type": "object"})
    simulator.add_model(EDITOR, {"type": "object"}, ("image-to-image",), {"images": 3})
    simulator.add_model(TALKER, {"type": "object"}, ("chat",))
    return simulator


def draw(seed: int = 1, **inputs: Any) -> None:
    """Run a node, and wait for what goes on behind it."""
    node = NODE_CLASS_MAPPINGS[DRAW]()
    with contextlib.suppress(Exception):
        asyncio.run(node.execute(**{**ASKED, "seed": seed, **inputs}))
    until(lambda: not pack_threads())


def lists_fetched(simulator: Simulator) -> int:
    """Return how often the list was fetched, in several requests; the test of a key is but one."""
    return model_requests(simulator) // REQUESTS_OF_A_LIST


def model_requests(simulator: Simulator) -> int:
    return sum(record.path == "/v1/models" for record in simulator.requests)


def offered(node_id: str = DRAW) -> list[str]:
    ids: list[str] = NODE_CLASS_MAPPINGS[node_id].INPUT_TYPES()["required"]["model"][0]
    return ids


def entry(page: Page, node_id: str, model_id: str) -> dict[str, Any]:
    models: list[dict[str, Any]] = page.get("/catalogue")["nodes"][node_id]["models"]
    return next(model for model in models if model["id"] == model_id)


def file_of(tmp_path: Path) -> Path:
    return tmp_path / "data" / "models.json"


def age(file: Path, seconds: float = PAST_A_DAY) -> None:
    """Let the list have been asked for so long ago."""
    content = json.loads(file.read_text())
    content["asked_at"] = {name: at - seconds for name, at in content["asked_at"].items()}
    file.write_text(json.dumps(content))


def test_after_a_run_the_list_is_fetched_and_every_page_is_told(
    sent: list[Event], account: Simulator
) -> None:
    assert NEW not in offered()
    draw()
    assert lists_fetched(account) == 1
    assert NEW in offered()
    assert [(data, page) for name, data, page in sent if name == "siliconflow.models"] == [
        ({}, None)
    ]


@pytest.mark.usefixtures("sent")
def test_after_more_runs_of_the_day_it_is_not_fetched_again_and_the_next_day_it_is(
    account: Simulator, tmp_path: Path
) -> None:
    for seed in (1, 2, 3):
        draw(seed)
    assert (len(account.generations), lists_fetched(account)) == (3, 1)
    age(file_of(tmp_path))
    draw(4)
    assert lists_fetched(account) == 2


@pytest.mark.usefixtures("sent")
def test_the_day_is_on_disk_and_a_clock_that_ran_ahead_is_not_believed(
    account: Simulator, tmp_path: Path
) -> None:
    draw(1)
    [asked_at] = json.loads(file_of(tmp_path).read_text())["asked_at"].values()
    assert 0 <= time.time() - asked_at < PAST_A_DAY
    age(file_of(tmp_path), -PAST_A_DAY)
    draw(2)
    assert lists_fetched(account) == 2


@pytest.mark.usefixtures("sent")
def test_a_run_that_asked_nothing_of_the_service_fetches_no_list(
    account: Simulator, tmp_path: Path
) -> None:
    draw(num_inference_steps=1000)
    assert account.requests == []
    draw()
    file_of(tmp_path).unlink()
    draw()
    assert (len(account.generations), lists_fetched(account)) == (1, 1)


def test_outside_comfyui_no_list_is_fetched(account: Simulator) -> None:
    draw()
    assert (len(account.generations), lists_fetched(account)) == (1, 0)


def test_at_start_up_and_when_the_page_opens_nobody_is_asked(
    sent: list[Event], page: Page, account: Simulator
) -> None:
    assert offered()
    page.get("/catalogue")
    page.get("/settings")
    until(lambda: not pack_threads())
    assert (account.requests, sent) == ([], [])


ODD: dict[str, dict[str, Any]] = {
    "empty": {"status": 200, "body": {"object": "list", "data": []}},
    "no list": {"status": 200, "body": {"data": None}},
    "no models": {"status": 200, "body": {"data": [{"name": 1}, 7, {"id": ""}]}},
    "not JSON": {"status": 200, "body": "<html>Hello</html>", "kind": "html"},
    "a bad key": {"status": 401},
    "retired": {"status": 410, "body": "gone-410"},
    "cut off": {"broken": "cut"},
    "no answer": {"status": 0},
}


def good_answers(simulator: Simulator) -> list[Any]:
    """Return what the service answers to the first requests of a list."""
    headers = {"Authorization": f"Bearer {simulator.key}"}
    return [
        requests.get(f"{simulator.base_url}/models", params, headers=headers, timeout=10).json()
        for params in ({}, *({"sub_type": kind} for kind in SUB_TYPES[:2]))
    ]


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
@pytest.mark.parametrize("at", [0, 3])
def test_an_odd_answer_leaves_the_last_good_list_and_the_run_alone(
    sent: list[Event], account: Simulator, tmp_path: Path, odd: dict[str, Any], at: int
) -> None:
    draw()
    lists = {node: offered(node) for node in (DRAW, EDIT, CHAT, EMBED)}
    assert (NEW in lists[DRAW], TALKER in lists[CHAT]) == (True, True)
    age(file_of(tmp_path))
    sent.clear()
    for body in good_answers(account)[:at]:
        account.fail(200, body=body, on="models")
    account.fail(**odd, on="models")
    draw(2)
    assert account.faults == [], "the odd answer was given"
    assert len(account.generations) == 2
    assert "siliconflow.failed" not in {name for name, _, _ in sent}
    assert {node: offered(node) for node in lists} == lists
    before = model_requests(account)
    draw(3)
    assert model_requests(account) == before, "no list again on the same day"


def test_a_key_that_is_tested_and_then_saved_has_its_list_which_was_fetched_once(
    page: Page, account: Simulator, monkeypatch: pytest.MonkeyPatch, sent: list[Event]
) -> None:
    monkeypatch.delenv("SILICONFLOW_API_KEY")
    page.post("/key/test", {"key": account.key, "site": "cn"})
    until(lambda: not pack_threads())
    assert NEW not in offered()
    page.post("/key", {"key": account.key})
    until(lambda: not pack_threads())
    assert NEW in offered()
    assert lists_fetched(account) == 1
    assert "siliconflow.models" in {name for name, _, _ in sent}


def test_a_key_that_is_saved_untested_has_its_list(
    page: Page, account: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SILICONFLOW_API_KEY")
    page.post("/key", {"key": account.key})
    until(lambda: not pack_threads())
    assert NEW in offered()


def test_a_key_that_is_refused_leaves_the_list_of_the_one_in_use(
    page: Page, account: Simulator, tmp_path: Path
) -> None:
    page.post("/models/refresh")
    before = file_of(tmp_path).read_text()
    page.refused("POST", "/key/test", {"key": "sk-wrong-wrong-wrong", "site": "cn"})
    until(lambda: not pack_threads())
    assert file_of(tmp_path).read_text() == before
    assert NEW in offered()
    assert lists_fetched(account) == 1


@pytest.mark.usefixtures("account", "sent")
def test_each_account_has_a_list_and_a_day_of_its_own(
    page: Page, use: Callable[[Simulator], None], write_settings: Any
) -> None:
    draw()
    with Simulator(site="com", as_of="today", key="sk-of-another-account") as other:
        use(other)
        write_settings(site="com")
        assert NEW not in offered()
        draw(model="Qwen/Qwen-Image")
        assert lists_fetched(other) == 1
        assert entry(page, DRAW, KOLORS)["mark"] == "missing"
        assert offered().index("Qwen/Qwen-Image") < offered().index(KOLORS)


def test_a_crash_while_the_list_is_written_leaves_the_last_one(
    page: Page, account: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page.post("/models/refresh")
    before = file_of(tmp_path).read_text()

    def die(_self: Path, _target: Path) -> None:
        raise OSError("the power is off")

    account.add_model("Someone/Newer-Model", {"type": "object"})
    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        assert page.refused("POST", "/models/refresh")[1]["kind"] == "InvalidSettings"
    assert file_of(tmp_path).read_text() == before
    page.post("/models/refresh")
    assert "Someone/Newer-Model" in offered()


CHILD = """
import sys
import time
from pathlib import Path
from comfyui_siliconflow.storage import model_lists
from comfyui_siliconflow.storage.model_lists import ModelList, claim_refresh, save_model_list

def slowly(*given):
    time.sleep(0.02)
    write(*given)

write, model_lists.write_json = model_lists.write_json, slowly
folder, number = Path(sys.argv[1]), sys.argv[2]
print("ready", flush=True)
sys.stdin.readline()
print(claim_refresh(folder, "shared", 86400))
for turn in range(10):
    save_model_list(folder, number, ModelList(float(turn), {"chat": (f"{number}/{turn}",)}))
"""


def test_of_several_processes_one_asks_and_none_loses_the_list_of_another(tmp_path: Path) -> None:
    children = [
        subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path), str(number)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(3)
    ]
    for child in children:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin
        child.stdin.write("\n")
        child.stdin.flush()
    said = [child.communicate()[0].strip() for child in children]
    assert sorted(said) == ["False", "False", "True"]
    stored = json.loads((tmp_path / "models.json").read_text())["accounts"]
    assert {name: each["kinds"]["chat"] for name, each in stored.items()} == {
        str(number): [f"{number}/9"] for number in range(3)
    }


@pytest.mark.usefixtures("account")
def test_a_new_model_of_a_known_family_has_its_fields_marked_as_guessed(page: Page) -> None:
    page.post("/models/refresh")
    guess, like = entry(page, EDIT, EDITOR), entry(page, EDIT, "Qwen/Qwen-Image-Edit-2509")
    assert (guess["mark"], guess["guessed_from"]) == ("guessed", "Qwen/Qwen-Image-Edit-2509")
    assert (guess["fields"], guess["images"]) == (like["fields"], like["images"])
    assert (guess["price"], guess["published"]) == (None, None), "a price is never guessed"
    assert entry(page, CHAT, TALKER)["guessed_from"] == "Qwen/Qwen3-8B"


@pytest.mark.usefixtures("account")
def test_of_two_tasks_of_its_type_a_new_model_is_offered_for_that_of_its_family(
    page: Page,
) -> None:
    page.post("/models/refresh")
    assert EDITOR in offered(EDIT)
    assert EDITOR not in [*offered(DRAW), *offered(TO_IMAGE)]
    assert NEW in offered(TO_IMAGE), "one of no family is offered for all that its type may be"


def test_a_new_model_is_sent_the_fields_of_its_family_and_all_by_its_id(
    page: Page, account: Simulator, run_node: Any, make_image: Callable[..., Any]
) -> None:
    page.post("/models/refresh")
    inputs = {"prompt": "x", "image": make_image(), "seed": 1, "cfg": 3.0, "output_format": "png"}
    run_node(EDIT, model=EDITOR, **inputs)
    run_node(EDIT, model=EDITOR, custom_model=EDITOR, **inputs)
    guessed, written = (record.body for record in account.generations)
    assert (guessed["cfg"], written["cfg"]) == (3.0, 3.0)
    assert ("output_format" in guessed, "output_format" in written) == (False, True)


def test_a_refused_new_model_says_what_its_fields_are_guessed_from(
    page: Page, account: Simulator, run_node: Any, make_image: Callable[..., Any]
) -> None:
    page.post("/models/refresh")
    account.fail(400)
    with pytest.raises(BadRequest) as caught:
        run_node(EDIT, model=EDITOR, prompt="x", image=make_image())
    english, chinese = caught.value.text
    assert "guessed from Qwen/Qwen-Image-Edit-2509" in english
    assert "按 Qwen/Qwen-Image-Edit-2509 推测" in chinese


def account_with(tmp_path: Path, name: str, **kinds: tuple[str, ...]) -> None:
    named = {kind.replace("_", "-"): ids for kind, ids in kinds.items()}
    save_model_list(tmp_path / "data", name, ModelList(time.time(), named))


@pytest.mark.parametrize(
    ("model", "kinds", "nodes"),
    [
        ("Someone/Else", {"every"}, set()),
        ("Wan-AI/Wan2.9-T2V", {"every"}, {"SiliconFlowTextToVideo"}),
        ("Someone/Else", {"every", "chat", "embedding", "text_to_image"}, set()),
        ("Someone/Else", {"every", "chat"}, {CHAT}),
        ("Someone/Else", {"every", "text_to_image", "image_to_image"}, {DRAW, TO_IMAGE, EDIT}),
        (EDITOR, {"every"}, {EDIT}),
        (EDITOR, {"every", "chat", "embedding", "image_to_image"}, {EDIT}),
        ("Qwen/Qwen3-OCR-9B", {"every", "embedding"}, {EMBED}),
    ],
)
@pytest.mark.usefixtures("account")
def test_a_new_model_is_offered_where_type_or_family_is_sure_and_nowhere_else(
    page: Page, tmp_path: Path, model: str, kinds: set[str], nodes: set[str]
) -> None:
    page.post("/models/refresh")
    [name] = json.loads(file_of(tmp_path).read_text())["accounts"]
    file_of(tmp_path).unlink()
    account_with(tmp_path, name, **dict.fromkeys(kinds, (model,)))
    with_models = [each for each, node in NODE_CLASS_MAPPINGS.items() if "model" in node.required]
    assert {each for each in with_models if model in offered(each)} == nodes


def test_an_empty_kind_folds_nothing_away_and_keeps_what_was_there(
    page: Page, account: Simulator, tmp_path: Path
) -> None:
    page.post("/models/refresh")
    [name] = json.loads(file_of(tmp_path).read_text())["accounts"]
    before = offered(CHAT)
    account_with(tmp_path, name, every=(KOLORS,), chat=())
    assert offered(CHAT) == before
    assert lists_fetched(account) == 1


@pytest.mark.usefixtures("account")
def test_what_the_account_lacks_can_still_be_run_from_an_old_workflow(page: Page) -> None:
    page.post("/models/refresh")
    missing = "black-forest-labs/FLUX.2-pro"
    assert entry(page, DRAW, missing)["mark"] == "missing"
    assert SiliconFlowTextToImage.VALIDATE_INPUTS(prompt="a cat", model=missing) is True
    known = {model.id for model in catalogue.load().of_task("text-to-image")}
    assert known <= set(offered())
