"""The pack's routes and events on a real ComfyUI's server."""

from __future__ import annotations

import io
import json
import secrets
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.server.routes import PREFIX, ROUTES
from comfyui_siliconflow.tests.host.comfy import Comfy, Heard
from PIL import Image

Json = dict[str, Any]
Drawing = Callable[..., Json]

READ = [route.path for route in ROUTES if route.method == "GET" and "{" not in route.path]
CHANGING = [
    (route.method, route.path.format(id="a", place=0)) for route in ROUTES if route.method != "GET"
]
WORKFLOW = {"nodes": [{"id": 1, "type": "SiliconFlowTextToImage", "note": "猫"}], "links": []}
LOGS = ("/internal/logs", "/internal/logs/raw")


@pytest.fixture(scope="module")
def start(
    tmp_path_factory: pytest.TempPathFactory, running_service: Simulator
) -> Iterator[Callable[..., Comfy]]:
    """Start a ComfyUI with options of its own, and without a key."""
    started: list[Comfy] = []

    def start_one(*options: str, **variables: str) -> Comfy:
        comfy = Comfy(tmp_path_factory.mktemp("comfyui"), *options)
        comfy.start({"SILICONFLOW_BASE_URL": running_service.base_url, **variables})
        started.append(comfy)
        return comfy

    yield start_one
    for comfy in started:
        comfy.stop()


@pytest.fixture(scope="module")
def keyless(start: Callable[..., Comfy]) -> Comfy:
    """Return a ComfyUI that has no key yet."""
    return start()


@pytest.fixture(scope="module")
def shared(start: Callable[..., Comfy], running_service: Simulator) -> Comfy:
    """Return a ComfyUI for several users."""
    return start("--multi-user", SILICONFLOW_API_KEY=running_service.key)


@pytest.fixture(scope="module")
def open_to_all(start: Callable[..., Comfy], running_service: Simulator) -> Comfy:
    """Return a ComfyUI that listens on every address; the last --listen counts."""
    environment = {"SILICONFLOW_API_KEY": running_service.key, "SILICONFLOW_HOSTS": "comfy.example"}
    return start("--listen", "0.0.0.0", **environment)  # noqa: S104


def call_route(comfy: Comfy, method: str, path: str, body: Json | None = None) -> Json:
    """Return the answer of a route that must not fail."""
    sent = {} if method == "GET" else {"json": body or {}}
    answer = comfy.request(method, PREFIX + path, **sent)
    assert answer.status_code == 200, answer.text
    content: Json = answer.json()
    return content


def jobs(comfy: Comfy) -> list[Json]:
    jobs: list[Json] = call_route(comfy, "GET", "/jobs")["jobs"]
    return jobs


# What every route does


@pytest.mark.parametrize("path", READ)
@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.usefixtures("service")
def test_what_the_page_reads_is_answered(comfy: Comfy, prefix: str, path: str) -> None:
    answer = comfy.get(prefix + PREFIX + path)
    assert (answer.status_code, answer.headers["Content-Type"]) == (
        200,
        "application/json; charset=utf-8",
    )


@pytest.mark.parametrize(("method", "path"), CHANGING)
def test_a_change_from_another_site_as_a_form_or_too_long_is_refused(
    comfy: Comfy, method: str, path: str
) -> None:
    url, own = PREFIX + path, {"Content-Type": "application/json"}
    other = comfy.request(method, url, json={}, headers={"Origin": "http://evil.example"})
    assert other.status_code == 403
    port = comfy.request(method, url, json={}, headers={"Origin": "http://127.0.0.1:1"})
    assert port.status_code == 403
    form = comfy.request(method, url, data=b"{}", headers={"Content-Type": "text/plain"})
    assert form.status_code == 415
    assert comfy.request(method, url, data=b" " * 16385, headers=own).status_code == 413


def test_no_route_gives_the_key_away(comfy: Comfy, service: Simulator, drawing: Drawing) -> None:
    service.fail(401)
    comfy.run(drawing())
    texts = [comfy.get(PREFIX + path).text for path in READ]
    texts += [comfy.request("POST", f"{PREFIX}/key/test", json={}).text]
    assert [text for text in texts if service.key in text] == []
    assert call_route(comfy, "GET", "/settings")["key"] == {
        "is_set": True,
        "last4": service.key[-4:],
        "source": "environment",
        "variable": "SILICONFLOW_API_KEY",
    }


def test_the_page_is_answered_while_a_route_waits_for_the_service(
    comfy: Comfy, service: Simulator
) -> None:
    service.latency = 5.0
    test = threading.Thread(target=comfy.post, args=("/siliconflow/key/test", {}))
    test.start()
    assert comfy.get("/prompt").ok
    assert test.is_alive()
    service.latency = 0.0
    test.join()


# Jobs


def test_jobs_are_listed_with_what_became_of_them(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    prompt = drawing(batch_size=2)
    comfy.run(prompt, WORKFLOW)
    [done] = jobs(comfy)[:1]
    assert (done["state"], len(done["pictures"]), done["node"]) == ("done", 2, "1")
    assert done["trace_id"] == service.generations[-1].trace_id
    comfy.run(drawing())
    comfy.run(prompt, WORKFLOW)
    assert jobs(comfy)[0]["state"] == "reused"
    service.fail(400)
    comfy.run(drawing())
    assert jobs(comfy)[0]["state"] == "failed"
    assert jobs(comfy)[0]["reason"]["zh"]


def test_a_job_that_waits_for_the_limit_is_seen_and_cancelled(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    service.fail(429, limit="IPM")
    prompt_id = comfy.queue(drawing(model="Qwen/Qwen-Image"))
    waiting = comfy.wait_for(lambda: [job for job in jobs(comfy) if job["waits_until"]])
    assert waiting[0]["state"] == "waiting"
    assert waiting[0]["waits_until"] > waiting[0]["at"]
    comfy.post("/interrupt", {})
    assert comfy.end_of(prompt_id).message("execution_interrupted")
    comfy.wait_for(lambda: jobs(comfy)[0]["state"] == "cancelled")


def test_the_workflow_of_a_job_is_the_one_that_was_queued(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    comfy.run(drawing(), WORKFLOW)
    job = jobs(comfy)[0]
    assert comfy.get(f"{PREFIX}/jobs/{job['id']}/workflow").json() == WORKFLOW
    assert service.generations


@pytest.mark.usefixtures("service")
def test_the_workflow_is_in_no_cache_key(comfy: Comfy, drawing: Drawing) -> None:
    """Else moving a node on the canvas would make ComfyUI run it again."""
    prompt = drawing()
    comfy.run(prompt, WORKFLOW)
    before = len(jobs(comfy))
    again = comfy.run(prompt, {**WORKFLOW, "version": 0.4})
    cached = again.message("execution_cached")
    assert cached is not None
    assert "1" in cached["nodes"]
    assert len(jobs(comfy)) == before


@pytest.mark.usefixtures("service")
def test_an_image_of_a_job_goes_into_a_load_image_node(comfy: Comfy, drawing: Drawing) -> None:
    comfy.run(drawing(image_size="960x1280"))
    job = jobs(comfy)[0]
    with Image.open(io.BytesIO(comfy.get(job["pictures"][0]["thumbnail"]).content)) as small:
        assert small.size == (192, 256)
    loaded = call_route(comfy, "POST", f"/jobs/{job['id']}/0/load")
    assert loaded["name"] in comfy.listed("LoadImage", "image"), "or the page marks it as missing"
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": loaded["name"]}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    [file] = comfy.run(prompt).files
    with Image.open(file) as image:
        assert image.size == (960, 1280)


# Events


def is_failed(heard: Heard) -> bool:
    return any(data["job"]["state"] == "failed" for data in heard.data("siliconflow.jobs"))


def test_of_a_run_whose_page_was_closed_other_pages_list_the_failed_job_and_show_no_card(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    service.fail(403)
    heard = comfy.listen(drawing(), {"siliconflow.jobs"}, queued_by="closed", enough=is_failed)
    job = heard.data("siliconflow.jobs")[-1]["job"]
    assert job["trace_id"] == service.generations[-1].trace_id
    assert heard.data("siliconflow.failed") == []


def tells_balance(service: Simulator, heard: Heard) -> bool:
    is_done = any(data["job"]["state"] == "done" for data in heard.data("siliconflow.jobs"))
    return is_done and heard.data("siliconflow.balance")[-1]["balance"] == str(service.balance)


@pytest.mark.parametrize("flags", [{}, {"supports_preview_metadata": True}])
def test_the_page_hears_of_its_job_its_balance_and_sees_its_images(
    comfy: Comfy, service: Simulator, drawing: Drawing, flags: Json
) -> None:
    """An old page and a new one are sent images in ways of their own."""
    service.latency = 0.5
    prompt = drawing(batch_size=2, image_size="960x1280")
    after_it = partial(tells_balance, service)  # the balance after another run may come before
    heard = comfy.listen(prompt, {"siliconflow.balance"}, flags, enough=after_it)
    states = [data["job"]["state"] for data in heard.data("siliconflow.jobs")]
    assert states == ["waiting", "running", "done"]
    assert len(heard.previews) == 2
    for content in heard.previews:
        with Image.open(io.BytesIO(content)) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (384, 512))


def test_the_page_hears_why_its_node_failed(
    comfy: Comfy, service: Simulator, drawing: Drawing
) -> None:
    service.fail(403, body={"code": 30003, "message": "Model disabled.", "data": None})
    heard = comfy.listen(drawing())
    [failure] = heard.data("siliconflow.failed")
    assert (failure["node"], failure["kind"], failure["charged"]) == ("1", "ModelDisabled", False)
    assert failure["trace_id"] == service.generations[-1].trace_id
    assert failure["title"]["zh"]


# The key


def test_a_key_is_set_used_and_deleted_from_the_page_and_is_nowhere(
    keyless: Comfy, service: Simulator, drawing: Drawing
) -> None:
    heard = keyless.listen(drawing())
    assert [failure["kind"] for failure in heard.data("siliconflow.failed")] == ["MissingKey"]
    tested = call_route(keyless, "POST", "/key/test", {"key": service.key})
    assert tested["models"] > 0
    assert call_route(keyless, "POST", "/key", {"key": service.key})["key"]["source"] == "file"
    assert keyless.run(drawing()).status == "success"
    settings = keyless.folder / "user" / "__siliconflow" / "settings.json"
    holding = [file for file in keyless.files() if service.key.encode() in file.read_bytes()]
    assert holding == [settings]
    assert settings.stat().st_mode & 0o077 == 0
    for path in ("/settings", "/history", "/queue", "/object_info", *LOGS):
        assert service.key not in keyless.get(path).text
    for path in READ:
        assert service.key not in keyless.get(PREFIX + path).text
    for path in ("/userdata?dir=..", "/userdata/..%2F__siliconflow%2Fsettings.json"):
        assert service.key not in keyless.get(path).text
    assert call_route(keyless, "DELETE", "/key")["key"]["is_set"] is False
    assert service.key not in settings.read_text()
    assert keyless.run(drawing()).status == "error"


def test_every_open_page_hears_that_the_settings_changed(
    keyless: Comfy, service: Simulator, drawing: Drawing
) -> None:
    timer = threading.Timer(0.5, call_route, (keyless, "POST", "/settings", {"max_parallel": 4}))
    call_route(keyless, "POST", "/key", {"key": service.key})
    service.latency = 2.0
    timer.start()
    heard = keyless.listen(drawing(), until={"siliconflow.settings"})
    timer.join()
    assert heard.data("siliconflow.settings") == [{}]
    assert call_route(keyless, "GET", "/settings")["values"]["max_parallel"] == 4


def test_models_of_the_account_appear_once_the_list_was_refreshed(
    keyless: Comfy, service: Simulator, drawing: Drawing
) -> None:
    name = f"Someone/New-{secrets.token_hex(4)}"
    service.add_model(name, {"type": "object"})
    call_route(keyless, "POST", "/key", {"key": service.key})
    refused = keyless.post("/prompt", {"prompt": drawing(model=name)})
    assert refused.status_code == 400
    answer = call_route(keyless, "POST", "/models/refresh")
    models = {model["id"]: model for model in answer["nodes"]["SiliconFlowTextToImage"]["models"]}
    assert models[name]["mark"] == "new"
    info = keyless.get("/object_info/SiliconFlowTextToImage").json()["SiliconFlowTextToImage"]
    assert name in info["input"]["required"]["model"][0]
    assert keyless.run(drawing(model=name, image_size="512x512")).status == "success"


# Who else may ask


def test_with_several_users_only_what_is_nobody_s_is_answered(
    shared: Comfy, service: Simulator, drawing: Drawing
) -> None:
    shared.run(drawing())
    assert call_route(shared, "GET", "/settings")["read_only"] is True
    assert call_route(shared, "GET", "/catalogue")["nodes"]
    assert call_route(shared, "GET", "/balance")["balance"] == str(service.balance)
    for method, path in (
        *(("GET", "/jobs"), ("GET", "/stored"), ("DELETE", "/stored")),
        *(("POST", "/settings"), ("POST", "/key"), ("DELETE", "/key")),
    ):
        sent = {} if method == "GET" else {"json": {"key": "sk-x"} if path == "/key" else {}}
        answer = shared.request(method, PREFIX + path, **sent)
        assert (answer.status_code, answer.json()["error"]["kind"]) == (403, "SharedServer")


def test_an_open_server_answers_its_own_page_and_refuses_another_s(
    open_to_all: Comfy, service: Simulator
) -> None:
    name = f"comfy.example:{open_to_all.port}"
    own = {"Host": name, "Origin": f"http://{name}"}
    other = {"Host": name, "Origin": "http://evil.example"}
    url = f"{PREFIX}/settings"
    assert open_to_all.request("POST", url, json={"reuse": True}, headers=own).status_code == 200
    assert open_to_all.request("POST", url, json={"reuse": True}, headers=other).status_code == 403
    moved = open_to_all.request("POST", url, json={"base_url": "https://evil.example"}, headers=own)
    assert moved.json()["error"]["kind"] == "InvalidSettings"
    rebound = {"Host": f"evil.example:{open_to_all.port}"}
    assert open_to_all.request("GET", url, headers=rebound).status_code == 403
    text = open_to_all.request("GET", url, headers=own).text
    assert service.key not in text
    assert json.loads(text)["key"]["last4"] == service.key[-4:]
