"""The job list: what the page sees of every request, while it runs and when it is over."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import progress
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow.errors import ConfirmationNeeded
from comfyui_siliconflow.storage.job_history import JobHistory, JobRecord
from comfyui_siliconflow.tests.conftest import Held
from comfyui_siliconflow.tests.server.conftest import Json, Page, wait_for
from PIL import Image

DRAW = "SiliconFlowTextToImage"
KOLORS = "Kwai-Kolors/Kolors"
QWEN = "Qwen/Qwen-Image"
IN_FAR_FUTURE = 2**40
SMALL = {"image_size": "custom", "width": 96, "height": 64}
WORKFLOW = {"nodes": [{"id": 7, "type": DRAW}], "links": [], "version": 0.4, "note": "猫"}


def draw(**inputs: Any) -> Any:
    """Run a node as ComfyUI does; what fails is the caller's."""
    values = {"model": KOLORS, "prompt": "a cat", "seed": 1, **SMALL, **inputs}
    return asyncio.run(NODE_CLASS_MAPPINGS[DRAW]().execute(**values))


class Drawing:
    """A node that runs meanwhile, and can be cancelled as ComfyUI does it."""

    def __init__(self, **inputs: Any) -> None:
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run(inputs)))

    def start(self) -> None:
        self._thread.start()
        self._started.wait()

    def wait(self) -> None:
        self._thread.join()

    def cancel(self) -> None:
        self._loop.call_soon_threadsafe(self._task.cancel)

    async def _run(self, inputs: Json) -> None:
        values = {"model": KOLORS, "prompt": "a cat", "seed": 1, **SMALL, **inputs}
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.create_task(NODE_CLASS_MAPPINGS[DRAW]().execute(**values))
        self._started.set()
        await asyncio.wait({self._task})


@contextlib.contextmanager
def drawing(**inputs: Any) -> Iterator[Drawing]:
    """Run a node meanwhile."""
    run = Drawing(**inputs)
    run.start()
    yield run
    run.wait()


def listed(page: Page) -> list[Json]:
    jobs: list[Json] = page.get("/jobs")["jobs"]
    return jobs


def test_a_job_has_its_node_its_request_and_its_result(page: Page, simulator: Simulator) -> None:
    draw(prompt="a cat " * 1000)
    [job] = listed(page)
    assert job["at"] > 0
    assert (job["task"], job["node_type"], job["model"]) == ("text-to-image", DRAW, KOLORS)
    assert job["prompt"] == ("a cat " * 1000)[:4000]
    assert (job["state"], job["waits_until"], job["reason"]) == ("done", None, None)
    assert job["trace_id"] == simulator.generations[0].trace_id
    assert job["seconds"] > 0
    thumbnail = f"/siliconflow/jobs/{job['id']}/0/thumbnail"
    assert job["pictures"] == [{"place": 0, "thumbnail": thumbnail, "video": None, "is_here": True}]


@pytest.mark.usefixtures("simulator")
def test_reused_and_paid_jobs_are_listed_newest_first(page: Page) -> None:
    draw(batch_size=2)
    draw(batch_size=2)
    assert [job["state"] for job in listed(page)] == ["reused", "done"]
    assert [len(job["pictures"]) for job in listed(page)] == [2, 2]


def test_a_failed_job_says_why_in_both_languages(page: Page, simulator: Simulator) -> None:
    simulator.fail(401)
    with contextlib.suppress(Exception):
        draw()
    [job] = listed(page)
    assert (job["state"], job["pictures"]) == ("failed", [])
    assert "does not accept the API key" in job["reason"]["en"]
    assert "不接受这个 API 密钥" in job["reason"]["zh"]
    assert job["trace_id"] == simulator.generations[0].trace_id
    assert simulator.key not in json.dumps(job)


def test_a_run_that_the_guard_stopped_is_listed(
    page: Page, simulator: Simulator, write_settings: Any
) -> None:
    write_settings(most_pictures=1)
    with contextlib.suppress(Exception):
        draw(batch_size=2)
    [job] = listed(page)
    assert job["state"] == "failed"
    assert "most_pictures" in job["reason"]["en"]
    assert simulator.generations == []


def test_a_running_job_is_listed_as_running(page: Page, held: Held) -> None:
    with drawing():
        [job] = wait_for(lambda: [job for job in listed(page) if job["seconds"] > 0.3])
        assert (job["state"], job["pictures"]) == ("running", [])
        held.release()
    assert [job["state"] for job in listed(page)] == ["done"]


def test_a_job_that_waits_for_the_limit_says_until_when_and_can_be_cancelled(
    page: Page, simulator: Simulator
) -> None:
    simulator.fail(429, limit="IPM")
    with drawing() as run:
        [job] = wait_for(lambda: [job for job in listed(page) if job["waits_until"]])
        assert job["state"] == "waiting"
        assert job["waits_until"] > job["at"]
        run.cancel()
    wait_for(lambda: [job["state"] for job in listed(page)] == ["cancelled"])
    assert len(simulator.generations) == 1


def test_a_cancelled_job_that_was_sent_continues_and_is_done(page: Page, held: Held) -> None:
    with drawing() as run:
        held.wait_for(1)
        run.cancel()
    assert [job["state"] for job in listed(page)] == ["running"]
    held.release()
    wait_for(lambda: [job["state"] for job in listed(page)] == ["done"])
    assert listed(page)[0]["pictures"][0]["is_here"]


def test_a_job_whose_end_nobody_knows_has_no_seconds() -> None:
    died = JobRecord("1", 100.0, state="failed", seconds=None)
    assert progress.view_of(died, lambda _: None).as_json()["seconds"] is None


def test_queued_jobs_are_listed_as_waiting(page: Page, held: Held, write_settings: Any) -> None:
    write_settings(max_parallel=1)
    with drawing(model=QWEN, batch_size=2):
        wait_for(lambda: sorted(job["state"] for job in listed(page)) == ["running", "waiting"])
        held.release()
    assert [job["state"] for job in listed(page)] == ["done", "done"]


def test_what_was_not_sent_after_an_error_is_listed_as_cancelled(
    page: Page, simulator: Simulator, write_settings: Any
) -> None:
    write_settings(max_parallel=1)
    simulator.fail(403)
    with contextlib.suppress(Exception):
        draw(model=QWEN, batch_size=2)
    states = {"failed", "cancelled"}
    wait_for(lambda: {job["state"] for job in listed(page)} == states)
    cancelled = next(job for job in listed(page) if job["state"] == "cancelled")
    assert "another request of the same run" in cancelled["reason"]["en"]


def test_a_run_that_only_asked_is_listed_as_one_question(
    page: Page, simulator: Simulator, write_settings: Any
) -> None:
    write_settings(confirm_images=1)
    with pytest.raises(ConfirmationNeeded) as raised:
        draw(model=QWEN, batch_size=2)
    [job] = listed(page)
    assert (job["state"], job["reason"]) == ("asked", raised.value.text.as_json())
    assert simulator.generations == []
    draw(model=QWEN, batch_size=2)
    assert [job["state"] for job in listed(page)] == ["done", "done", "asked"]


@pytest.mark.usefixtures("simulator")
def test_earlier_jobs_are_listed_on_request(page: Page) -> None:
    draw()
    [job] = listed(page)
    assert page.get(f"/jobs?since={job['at'] - 1}")["jobs"] == [job]
    assert page.get(f"/jobs?since={job['at'] + 1}")["jobs"] == []
    for since in ("yesterday", "nan", "1e999"):
        assert page.refused("GET", f"/jobs?since={since}")[0] == 400


@pytest.mark.usefixtures("simulator")
def test_all_jobs_are_listed_in_pages_and_by_search_state_and_task(page: Page) -> None:
    for seed, prompt in enumerate(("a red Kite", "an old boat", "小猫 at 100% speed")):
        draw(prompt=prompt, seed=seed)
    newest = [job["prompt"] for job in listed(page)]

    def found(query: str) -> list[str]:
        return [job["prompt"] for job in page.get(f"/jobs?limit=9&{query}")["jobs"]]

    first = page.get("/jobs?limit=2")
    second = page.get(f"/jobs?limit=2&before={first['next']}")
    assert [job["prompt"] for job in first["jobs"] + second["jobs"]] == newest
    assert second["next"] is None
    assert found("search=KITE red") == ["a red Kite"]
    assert found("search=小猫") == found("search=100%25") == newest[:1]
    assert found("search=kolors") == found("state=done") == found("task=text-to-image") == newest
    assert found("search=_") == found("state=failed") == found("task=chat") == []
    for query in ("limit=0", "limit=501", "limit=x", "limit=1&before=x", "limit=1&before=1"):
        assert page.refused("GET", f"/jobs?{query}")[0] == 400


def test_a_running_job_stands_on_the_first_page_of_those_that_take_it(
    page: Page, held: Held
) -> None:
    with drawing():
        held.wait_for(1)
        states = ("running,waiting", "done")
        lists = [page.get(f"/jobs?limit=9&state={state}")["jobs"] for state in states]
        assert [[job["state"] for job in jobs] for jobs in lists] == [["running"], []]
        held.release()


def test_running_jobs_are_listed_whenever_they_began(page: Page, held: Held) -> None:
    with drawing():
        held.wait_for(1)
        [job] = page.get(f"/jobs?since={IN_FAR_FUTURE}")["jobs"]
        assert job["state"] == "running"
        held.release()
    assert page.get(f"/jobs?since={IN_FAR_FUTURE}")["jobs"] == []


@pytest.mark.usefixtures("simulator")
def test_a_job_that_has_just_been_written_is_listed_as_waiting(
    page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    begin = JobHistory.begin

    def begin_and_look(*given: Any) -> Any:
        name = begin(*given)
        seen.extend(job["state"] for job in listed(page))
        return name

    monkeypatch.setattr(JobHistory, "begin", begin_and_look)
    draw()
    assert seen == ["waiting"]


def test_a_job_that_ends_while_the_list_is_read_is_listed_as_ended(
    page: Page, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = JobHistory.since

    def read_slowly(*given: Any) -> Any:
        found = since(*given)
        assert [record.state for record in found] == ["running"]
        held.release()
        wait_for(lambda: not progress.jobs_under_way())
        return found

    with drawing():
        held.wait_for(1)
        monkeypatch.setattr(JobHistory, "since", read_slowly)
        assert [job["state"] for job in listed(page)] == ["done"]


@pytest.mark.usefixtures("simulator")
def test_an_image_is_shown_small_and_whole(page: Page) -> None:
    draw(image_size="1024x1024")
    [job] = listed(page)
    answer = page.request("GET", job["pictures"][0]["thumbnail"].removeprefix("/siliconflow"))
    assert answer.headers["Content-Type"] == "image/jpeg"
    assert "immutable" in answer.headers["Cache-Control"]
    with Image.open(io.BytesIO(answer.content)) as image:
        assert (image.size, image.format, image.mode) == ((256, 256), "JPEG", "RGB")
    whole = page.request("GET", f"/jobs/{job['id']}/0/image")
    assert whole.headers["Content-Type"] == "image/png"
    with Image.open(io.BytesIO(whole.content)) as image:
        assert (image.size, image.format) == ((1024, 1024), "PNG")


def test_a_video_has_a_poster_and_is_played_in_ranges(page: Page, today: Simulator) -> None:
    values = {"model": "Wan-AI/Wan2.2-T2V-A14B", "prompt": "waves", "image_size": "960x960"}
    asyncio.run(NODE_CLASS_MAPPINGS["SiliconFlowTextToVideo"]().execute(**values, seed=1))
    [video] = listed(page)[0]["pictures"]
    poster = page.request("GET", f"{page.origin}{video['thumbnail']}")
    with Image.open(io.BytesIO(poster.content)) as image:
        assert image.size == (256, 256)
    part = page.request("GET", f"{page.origin}{video['video']}", headers={"Range": "bytes=4-7"})
    assert (part.status_code, part.headers["Content-Type"]) == (206, "video/mp4")
    assert part.content == b"ftyp"
    whole = page.origin + video["thumbnail"].replace("thumbnail", "image")
    assert page.request("GET", whole).status_code == 404
    assert len(today.charges) == 1


@pytest.mark.usefixtures("simulator")
def test_an_image_above_the_limit_of_the_settings_is_too_large_and_not_gone(
    page: Page, write_settings: Any
) -> None:
    draw(image_size="1024x1024")
    [job] = listed(page)
    write_settings(most_megapixels=1)
    path = job["pictures"][0]["thumbnail"].removeprefix("/siliconflow")
    status, error = page.refused("GET", path)
    assert (status, error["kind"]) == (413, "TooLarge")
    assert "has 1024×1024 pixels, more than 1000000" in str(error)


@pytest.mark.usefixtures("simulator")
def test_an_image_is_copied_to_where_a_node_loads_it(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "input_directory", lambda: tmp_path / "input")
    draw(batch_size=2)
    [job] = listed(page)
    names = [page.post(f"/jobs/{job['id']}/{place}/load") for place in (0, 1, 1)]
    assert names[1] == names[2]
    assert names[0]["name"] != names[1]["name"]
    # Where the node's own list has it: one of a subfolder is marked as missing after a reload.
    assert {(name["subfolder"], name["type"]) for name in names} == {("", "input")}
    copied = (tmp_path / "input" / names[0]["name"]).read_bytes()
    [stored] = (tmp_path / "data").rglob("*-0of2.png")
    assert copied == stored.read_bytes()


@pytest.mark.usefixtures("simulator")
def test_a_large_file_is_copied_without_having_it_in_memory(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "input_directory", lambda: tmp_path / "input")
    draw()
    [job], [stored] = listed(page), (tmp_path / "data").rglob("*-0of1.png")
    size = 32 << 20
    stored.write_bytes(bytes(size))
    tracemalloc.start()
    try:
        name = page.post(f"/jobs/{job['id']}/0/load")["name"]
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (tmp_path / "input" / name).stat().st_size == size
    assert most < size / 2


@pytest.mark.usefixtures("simulator")
def test_a_copy_that_cannot_be_written_fails_with_its_reason(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "input").write_text("a file is where the folder should be")
    monkeypatch.setattr(host, "input_directory", lambda: tmp_path / "input")
    draw()
    status, error = page.refused("POST", f"/jobs/{listed(page)[0]['id']}/0/load")
    assert status == 500
    assert "input folder" in error["en"]


@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize(
    "path",
    [
        *("/jobs/unknown/0/thumbnail", "/jobs/{id}/1/thumbnail", "/jobs/{id}/-1/thumbnail"),
        *(
            "/jobs/{id}/x/thumbnail",
            "/jobs/..%2f..%2f/0/thumbnail",
            "/jobs/{id}/9999999/thumbnail",
        ),
        *("/jobs/unknown/0/image", "/jobs/{id}/1/image"),
        *("/jobs/unknown/workflow", "/jobs/{id}/workflow"),
    ],
)
def test_what_is_not_there_is_not_found(page: Page, path: str) -> None:
    draw()
    status, error = page.refused("GET", path.format(id=listed(page)[0]["id"]))
    assert (status, error["kind"]) == (404, "NotFound")


@pytest.mark.usefixtures("simulator")
def test_the_workflow_of_a_job_is_returned_unchanged(page: Page) -> None:
    draw(extra_pnginfo={"workflow": WORKFLOW})
    [job] = listed(page)
    assert job["has_workflow"]
    draw(extra_pnginfo={"workflow": {"id": "w1", **WORKFLOW}})
    assert [each["workflow"] for each in listed(page)] == ["w1", ""]
    assert page.get(f"/jobs/{job['id']}/workflow") == WORKFLOW


@pytest.mark.usefixtures("simulator")
def test_neither_workflow_nor_prompt_is_kept_with_disable_metadata(
    page: Page, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    arguments = SimpleNamespace(args=SimpleNamespace(disable_metadata=True))
    monkeypatch.setitem(sys.modules, "comfy.cli_args", arguments)
    draw(prompt="a secret garden", extra_pnginfo={"workflow": {"id": "w1", **WORKFLOW}})
    [job] = listed(page)
    assert (job["has_workflow"], job["prompt"], job["workflow"]) == (False, "", "")
    files = [file for file in (tmp_path / "data").rglob("*.sqlite3*") if file.is_file()]
    assert files
    assert not [file for file in files if b"secret" in file.read_bytes()]


@pytest.mark.usefixtures("simulator")
@pytest.mark.parametrize("given", [None, {}, {"workflow": None}, {"workflow": {1: {2}}}, "x"])
def test_a_node_runs_without_a_workflow_that_can_be_saved(page: Page, given: Any) -> None:
    draw(extra_pnginfo=given)
    assert [(job["state"], job["has_workflow"]) for job in listed(page)] == [("done", False)]


@pytest.mark.usefixtures("simulator")
def test_the_workflow_is_no_part_of_the_request(page: Page) -> None:
    draw(extra_pnginfo={"workflow": WORKFLOW})
    draw(extra_pnginfo={"workflow": {**WORKFLOW, "note": "another"}})
    assert [job["state"] for job in listed(page)] == ["reused", "done"]


@pytest.mark.usefixtures("simulator")
def test_a_ledger_that_fails_stops_neither_the_run_nor_the_list_of_the_next(
    page: Page, tmp_path: Path
) -> None:
    folder = tmp_path / "data" / "siliconflow-ledger"
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("a file is where the folder should be")
    images, *_ = draw()
    assert images.shape[0] == 1
    status, error = page.refused("GET", "/jobs")
    assert (status, error["kind"]) == (503, "NoLedger")
    folder.unlink()
    draw()
    assert [job["state"] for job in listed(page)] == ["done"]


@pytest.mark.usefixtures("simulator")
def test_a_job_whose_end_cannot_be_written_does_not_stay_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("not an error of the database")

    monkeypatch.setattr(JobHistory, "end", fail)
    with pytest.raises(RuntimeError):
        draw()
    wait_for(lambda: not progress.jobs_under_way())


def test_saved_results_are_counted_and_cleared(
    page: Page, simulator: Simulator, tmp_path: Path
) -> None:
    draw(batch_size=2, extra_pnginfo={"workflow": WORKFLOW})
    stored = page.get("/stored")
    files = [file for file in Path(stored["directory"]).rglob("*") if file.is_file()]
    assert (stored["requests"], stored["pictures"], len(files)) == (1, 2, 2)
    assert stored["bytes"] == sum(file.stat().st_size for file in files)
    assert page.delete("/stored") == {**stored, "requests": 0, "pictures": 0, "bytes": 0}
    assert not [file for file in files if file.exists()]
    assert listed(page) == []
    draw(batch_size=2)
    assert len(simulator.generations) == 2
    assert tmp_path in Path(stored["directory"]).parents


def test_clearing_leaves_running_jobs_alone(
    page: Page, simulator: Simulator, hold: Callable[[], Held]
) -> None:
    draw(seed=5)
    held = hold()
    with drawing():
        held.wait_for(1)
        page.delete("/stored")
        assert [job["state"] for job in listed(page)] == ["running"]
        held.release()
    assert len(simulator.generations) == 2
    [job] = listed(page)
    assert (job["state"], job["pictures"][0]["is_here"]) == ("done", True)
    assert page.get("/stored")["pictures"] == 1


@pytest.mark.usefixtures("simulator")
def test_with_several_users_nobody_sees_another_s_jobs(
    page: Page, several_users: Callable[[], None]
) -> None:
    draw()
    job = listed(page)[0]["id"]
    several_users()
    for method, path in (
        ("GET", "/jobs"),
        ("GET", f"/jobs/{job}/workflow"),
        ("GET", "/jobs?limit=9"),
        ("GET", f"/jobs/{job}/0/image"),
        ("GET", f"/jobs/{job}/0/thumbnail"),
        ("POST", f"/jobs/{job}/0/load"),
        ("GET", "/stored"),
        ("DELETE", "/stored"),
    ):
        status, error = page.refused(method, path)
        assert (status, error["kind"]) == (403, "SharedServer")


@pytest.mark.parametrize(
    ("node", "inputs", "words"),
    [
        ("SiliconFlowEmbeddings", {"model": ["BAAI/bge-m3"], "input": ["a cat\na dog"]}, "a cat"),
        (
            "SiliconFlowRerank",
            {
                "model": ["BAAI/bge-reranker-v2-m3"],
                "query": ["a pet"],
                "documents": ["a cat\na dog"],
            },
            "a pet",
        ),
        (
            "SiliconFlowSpeechToText",
            {
                "model": "TeleAI/TeleSpeechASR",
                "audio": {"waveform": torch.rand(1, 2, 11025) - 0.5, "sample_rate": 44100},
            },
            "audio, 0.2 s",
        ),
        (
            "SiliconFlowTextToSpeech",
            {"model": "FunAudioLLM/CosyVoice2-0.5B", "input": "Hello there"},
            "Hello there",
        ),
    ],
)
def test_a_job_without_images_is_listed_with_its_text(
    page: Page, simulator: Simulator, node: str, inputs: Json, words: str
) -> None:
    asyncio.run(NODE_CLASS_MAPPINGS[node]().execute(**inputs))
    assert [job["prompt"] for job in listed(page)] == [words]
    assert len(simulator.requests) == 1
