"""Nodes in the background: the queue goes on, and the prompt is queued again when all is there."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.tests.conftest import Held
from comfyui_siliconflow.tests.host.comfy import Comfy, Ended, Heard, variables_for

Json = dict[str, Any]

KOLORS = "Kwai-Kolors/Kolors"
QWEN = "Qwen/Qwen-Image"
WAN = "Wan-AI/Wan2.2-T2V-A14B"
EDIT = "Qwen/Qwen-Image-Edit"
LATENCY = 3.0
"""Seconds: time enough to see what happens while a request is under way."""


@pytest.fixture(scope="module")
def started(
    tmp_path_factory: pytest.TempPathFactory, running_service: Simulator
) -> Iterator[tuple[Comfy, dict[str, str]]]:
    """Start a ComfyUI with nodes of its own, which a test may kill and start again."""
    with Comfy(tmp_path_factory.mktemp("comfyui-background")) as comfy:
        nodes = Path(__file__).with_name("nodes_for_background.py")
        shutil.copy(nodes, comfy.folder / "custom_nodes")
        variables = variables_for(running_service)
        comfy.start(variables)
        yield comfy, variables


@pytest.fixture
def comfy(started: tuple[Comfy, dict[str, str]], service: Simulator) -> Comfy:
    """Return ComfyUI with nothing in the background, and a service that takes its time."""
    comfy, _ = started
    comfy.wait_for(lambda: all(run["state"] == "stopped" for run in waiting(comfy)))
    for run in waiting(comfy):
        comfy.request("DELETE", f"/siliconflow/background/{run['id']}", json={})
    comfy.forget_settings()
    service.latency = LATENCY
    return comfy


@pytest.fixture
def held(comfy: Comfy, monkeypatch: pytest.MonkeyPatch) -> Iterator[Held]:
    """Hold every request until it is released."""
    del comfy  # is there first
    held = Held()
    held.begin(monkeypatch)
    yield held
    held.release()


def seed() -> int:
    return secrets.randbelow(10**9)


def drawing(node_id: str = "1", **inputs: Any) -> Json:
    """Return a node in the background whose image is saved; never the same twice."""
    values = {"model": KOLORS, "prompt": f"A kite {seed()}", "seed": seed(), "background": True}
    node = {"class_type": "SiliconFlowTextToImage", "inputs": {**values, **inputs}}
    return {node_id: node, f"{node_id}01": saving([node_id, 0])}


def saving(images: Any) -> Json:
    inputs = {"images": images, "filename_prefix": "background"}
    return {"class_type": "SaveImage", "inputs": inputs}


def sleeping(seconds: float = 0.0, **inputs: Any) -> Json:
    """Return nodes that take their time on this computer."""
    values = {"seconds": seconds + seed() * 1e-12, **inputs}
    return {"9": {"class_type": "TestSleep", "inputs": values}, "901": saving(["9", 0])}


def editing(**inputs: Any) -> Json:
    """Return a node behind that of `drawing`, in the background, whose image is saved."""
    values = {"model": EDIT, "prompt": "At night", "image": ["1", 0], "seed": seed()}
    inputs = {**values, "background": True, **inputs}
    return {
        "2": {"class_type": "SiliconFlowImageEdit", "inputs": inputs},
        "201": saving(["2", 0]),
    }


def edited_noise(n: int = 1, **inputs: Any) -> Json:
    """Return `editing` of images that are other ones in each run, and what it says of it."""
    noise = {"class_type": "TestNoise", "inputs": {"n": n}}
    text = {"class_type": "PreviewAny", "inputs": {"source": ["2", 2]}}
    return {**editing(image=["8", 0], **inputs), "8": noise, "202": text}


def info_of(ended: Ended, node_id: str = "202") -> Json:
    info: Json = json.loads(ended.entry["outputs"][node_id]["text"][0])
    return info


def filming() -> Json:
    """Return a node in the background that makes a video, whose frames are saved."""
    inputs = {"model": WAN, "prompt": f"Waves {seed()}", "seed": seed(), "background": True}
    video = {"class_type": "SiliconFlowTextToVideo", "inputs": inputs}
    frames = {"class_type": "GetVideoComponents", "inputs": {"video": ["1", 0]}}
    return {"1": video, "2": frames, "201": saving(["2", 0])}


def waiting(comfy: Comfy) -> list[Json]:
    """Return the runs in the background."""
    runs: list[Json] = comfy.get("/siliconflow/background").json()["runs"]
    return runs


def under_way(service: Simulator, since: int) -> int:
    return sum(record.status is None for record in service.generations[since:])


def runs_after(comfy: Comfy, first: str) -> list[str]:
    """Return the ids of the prompts that a prompt went on as."""
    history = comfy.get("/history").json()
    return [id_ for id_, entry in history.items() if going_on(entry)["first_prompt_id"] == first]


def going_on(entry: Json) -> Json:
    marker: Json = entry["prompt"][3].get("siliconflow_background", {"first_prompt_id": ""})
    return marker


def run_after(comfy: Comfy, first: str, nth: int = 1) -> Ended:
    """Wait for the end of the nth prompt that a prompt went on as."""
    comfy.wait_for(lambda: len(runs_after(comfy, first)) >= nth)
    return comfy.end_of(runs_after(comfy, first)[nth - 1])


def stopped(comfy: Comfy) -> Json:
    """Wait until the only run in the background has stopped, and return it."""
    (run,) = comfy.wait_for(
        lambda: [run for run in waiting(comfy) if run["state"] == "stopped"], seconds=60
    )
    found: Json = run
    return found


def error_of(ended: Ended) -> str:
    message = ended.message("execution_error")
    return str(message and message["exception_message"])


def test_an_image_is_saved_by_a_second_run_of_the_same_prompt_for_one_charge(
    comfy: Comfy, service: Simulator
) -> None:
    since, charges = len(service.generations), len(service.charges)
    prompt = drawing()
    first = comfy.run(prompt)
    assert (first.status, first.files) == ("success", [])
    second = run_after(comfy, first.prompt_id)
    assert second.status == "success"
    assert [file.is_file() for file in second.files] == [True]
    assert second.entry["prompt"][2] == prompt
    assert f"Prompt {first.prompt_id} waits for results in the background" in comfy.console
    assert f"Prompt {first.prompt_id} goes on as {second.prompt_id}" in comfy.console
    assert len(service.generations) - since == len(service.charges) - charges == 1
    comfy.wait_for(lambda: not waiting(comfy))
    assert len(runs_after(comfy, first.prompt_id)) == 1
    jobs = comfy.get("/siliconflow/jobs").json()["jobs"]
    words = prompt["1"]["inputs"]["prompt"]
    assert [job["state"] for job in jobs if job["prompt"] == words] == ["done"]


def test_a_prompt_that_names_no_seed_is_gone_on_with(comfy: Comfy, service: Simulator) -> None:
    charges, prompt = len(service.charges), drawing()
    del prompt["1"]["inputs"]["seed"]
    second = run_after(comfy, comfy.run(prompt).prompt_id)
    assert [file.is_file() for file in second.files] == [True]
    assert len(service.charges) - charges == 1


def test_the_queue_goes_on_while_several_prompts_wait(comfy: Comfy, service: Simulator) -> None:
    since = len(service.generations)
    firsts = [comfy.queue(drawing()) for _ in range(3)]
    local = comfy.queue(sleeping())
    comfy.wait_for(lambda: under_way(service, since) == 3)
    assert len(comfy.end_of(local).files) == 1
    assert all(run_after(comfy, first).files for first in firsts)
    assert len(service.generations) - since == 3


def test_other_branches_of_the_prompt_run_at_once_and_once(comfy: Comfy) -> None:
    first = comfy.run({**drawing(), **sleeping()})
    assert [*first.entry["outputs"]] == ["901"]
    second = run_after(comfy, first.prompt_id)
    assert [*second.entry["outputs"]] == ["101"]


def test_comfyui_s_cache_answers_a_third_run_with_the_image(
    comfy: Comfy, service: Simulator
) -> None:
    since, prompt = len(service.generations), drawing()
    second = run_after(comfy, comfy.run(prompt).prompt_id)
    third = comfy.run(prompt)
    cached = third.message("execution_cached")
    assert cached is not None
    assert set(cached["nodes"]) == {"1", "101"}
    assert len(second.files) == len(service.generations) - since == 1


def test_the_same_queued_again_while_under_way_joins_and_pays_nothing(
    comfy: Comfy, service: Simulator
) -> None:
    since, prompt = len(service.generations), drawing()
    first, again = comfy.run(prompt), comfy.run(prompt)
    assert (again.status, again.files) == ("success", [])
    assert len(waiting(comfy)) == 1
    assert run_after(comfy, first.prompt_id).files
    comfy.wait_for(lambda: not waiting(comfy))
    assert runs_after(comfy, again.prompt_id) == []
    assert len(service.generations) - since == 1


def test_a_prompt_with_several_such_nodes_goes_on_once_when_all_is_there(
    comfy: Comfy, service: Simulator
) -> None:
    since = len(service.generations)
    first = comfy.run({**drawing("1"), **drawing("2"), **drawing("3", batch_size=3)})
    assert len(waiting(comfy)) == 1
    second = run_after(comfy, first.prompt_id)
    assert len(second.files) == 5
    comfy.wait_for(lambda: not waiting(comfy))
    assert len(runs_after(comfy, first.prompt_id)) == 1
    assert len(service.generations) - since == len(service.charges[-3:]) == 3


def test_a_node_behind_another_one_goes_to_the_background_in_its_turn(
    comfy: Comfy, service: Simulator
) -> None:
    since = len(service.generations)
    first = comfy.run({**drawing(), **editing()})
    second = run_after(comfy, first.prompt_id)
    assert [*second.entry["outputs"]] == ["101"]
    third = run_after(comfy, first.prompt_id, 2)
    assert [*third.entry["outputs"]] == ["201"]
    assert len(service.generations) - since == 2


def test_a_seed_of_minus_one_is_the_same_in_the_second_run_and_another_in_the_next(
    comfy: Comfy, service: Simulator
) -> None:
    prompt = drawing(seed=-1)
    prompt["102"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}}
    seen = []
    for nth in (1, 2):
        since = len(service.generations)
        second = run_after(comfy, comfy.run(prompt).prompt_id)
        (record,) = service.generations[since:]
        assert second.entry["outputs"]["102"]["text"] == [str(record.body["seed"])], nth
        seen.append(record.body["seed"])
    assert len(set(seen)) == 2


def test_a_video_is_made_in_the_background_for_one_charge(comfy: Comfy, service: Simulator) -> None:
    service.latency, charges = 0.0, len(service.charges)
    first = comfy.run(filming())
    assert (first.status, first.files) == ("success", [])
    assert run_after(comfy, first.prompt_id).files
    assert len(service.charges) - charges == 1


def test_a_list_of_seeds_waits_as_one_prompt(comfy: Comfy, service: Simulator) -> None:
    since = len(service.generations)
    numbers = {"class_type": "TestNumbers", "inputs": {"first": seed(), "n": 3}}
    first = comfy.run({**drawing(seed=["5", 0]), "5": numbers})
    assert len(waiting(comfy)) == 1
    assert len(run_after(comfy, first.prompt_id).files) == 3
    assert len(service.generations) - since == 3


def test_a_list_of_which_a_part_is_saved_already_is_given_as_a_whole(
    comfy: Comfy, service: Simulator
) -> None:
    since, prompt = len(service.generations), drawing(seed=seed())
    inputs = prompt["1"]["inputs"]
    foreground = {**prompt["1"], "inputs": {**inputs, "background": False}}
    assert comfy.run({**prompt, "1": foreground}).files
    numbers = {"class_type": "TestNumbers", "inputs": {"first": inputs["seed"], "n": 3}}
    prompt["1"]["inputs"] = {**inputs, "seed": ["5", 0]}
    first = comfy.run({**prompt, "5": numbers})
    assert (first.status, first.files) == ("success", [])
    assert len(run_after(comfy, first.prompt_id).files) == 3
    assert len(service.generations) - since == 3


def test_no_call_of_a_list_waits_for_one_that_is_refused(comfy: Comfy) -> None:
    prompt = drawing(batch_size=1)
    assert run_after(comfy, comfy.run(prompt).prompt_id).files
    numbers = {"class_type": "TestNumbers", "inputs": {"first": 0, "n": 2}}
    prompt["1"]["inputs"]["batch_size"] = ["5", 0]
    assert "batch_size: 0" in error_of(comfy.run({**prompt, "5": numbers}))


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_prompt_whose_other_branch_ends_early_is_stopped_and_goes_on_when_the_user_says_so(
    comfy: Comfy, service: Simulator, is_cancelled: bool
) -> None:
    since = len(service.generations)
    first = comfy.queue({**drawing(), **sleeping(2.0, fails=not is_cancelled)})
    comfy.wait_for(lambda: under_way(service, since) == 1)
    if is_cancelled:
        comfy.post("/interrupt", {})
    assert comfy.end_of(first).status == "error"
    run = stopped(comfy)
    assert (run["id"], run["nodes"]) == (first, ["1"])
    assert "was cancelled, or another node" in run["reason"]["en"]
    answer = comfy.post(f"/siliconflow/background/{first}", {})
    assert [*comfy.end_of(answer.json()["prompt_id"]).entry["outputs"]] == ["101"]
    assert len(service.generations) - since == 1


def test_a_failed_request_stops_the_prompt_and_is_not_sent_again_unasked(
    comfy: Comfy, service: Simulator
) -> None:
    service.fail(400)
    since = len(service.generations)
    first = comfy.run({**drawing("1"), **drawing("2")})
    run = stopped(comfy)
    assert (run["id"], set(run["nodes"])) == (first.prompt_id, {"1", "2"})
    assert "rejected the request" in run["reason"]["en"]
    assert runs_after(comfy, first.prompt_id) == []
    answer = comfy.post(f"/siliconflow/background/{run['id']}", {})
    second = comfy.end_of(answer.json()["prompt_id"])
    assert (second.status, len(second.files)) == ("success", 1)  # what there is
    assert len(service.generations) - since == 2
    run = stopped(comfy)
    assert run["id"] == first.prompt_id
    assert "Nothing was sent again" in run["reason"]["en"]
    comfy.post(f"/siliconflow/background/{run['id']}", {"may_pay": True})
    assert run_after(comfy, first.prompt_id, 3).files
    assert len(service.generations) - since == 3


def test_what_is_missing_is_sent_and_paid_again_if_the_user_says_so(
    comfy: Comfy, service: Simulator
) -> None:
    service.fail(400)
    since, charges = len(service.generations), len(service.charges)
    first = comfy.run({**drawing("1"), **drawing("2")})
    comfy.post(f"/siliconflow/background/{stopped(comfy)['id']}", {"may_pay": True})
    ends = [run_after(comfy, first.prompt_id, nth) for nth in (1, 2)]
    assert [len(ended.files) for ended in ends] == [1, 1]
    assert len(service.generations) - since == 3
    assert len(service.charges) - charges == 2


def test_go_on_now_leaves_what_is_under_way_in_the_background_and_sends_nothing(
    comfy: Comfy, service: Simulator
) -> None:
    since = len(service.generations)
    first = comfy.run(drawing())
    answer = comfy.post(f"/siliconflow/background/{first.prompt_id}", {})
    second = comfy.end_of(answer.json()["prompt_id"])
    assert (second.files, under_way(service, since)) == ([], 1)
    third = run_after(comfy, first.prompt_id, 2)
    assert len(third.files) == len(service.generations) - since == 1
    comfy.wait_for(lambda: not waiting(comfy))
    assert runs_after(comfy, first.prompt_id) == [second.prompt_id, third.prompt_id]
    assert comfy.post(f"/siliconflow/background/{first.prompt_id}", {}).status_code == 404


def test_go_on_now_while_the_first_run_goes_on_saves_each_image_once(
    comfy: Comfy, service: Simulator
) -> None:
    charges = len(service.charges)
    first = comfy.queue({**drawing(), **sleeping(4.0)})
    comfy.wait_for(lambda: waiting(comfy))
    assert comfy.post(f"/siliconflow/background/{first}", {}).status_code == 200
    assert [*comfy.end_of(first).entry["outputs"]] == ["901"]
    comfy.wait_for(lambda: not waiting(comfy))
    ends = [comfy.end_of(id_).entry["outputs"] for id_ in runs_after(comfy, first)]
    assert [node_id for outputs in ends for node_id in outputs] == ["101"]
    assert len(service.charges) - charges == 1


def test_a_download_that_fails_in_the_foreground_is_repeated_for_another_run(
    comfy: Comfy, service: Simulator
) -> None:
    since, asked = len(service.generations), len(service.requests)
    service.latency = 0.0
    service.fail(404, times=5, on="pictures")
    prompt = drawing(background=False)
    assert "could not be downloaded" in error_of(comfy.run(prompt))
    comfy.wait_for(
        lambda: any(
            "/pictures/" in record.path and record.status == 200
            for record in service.requests[asked:]
        )
    )
    service.fail(404, times=99, on="pictures")
    comfy.wait_for(lambda: comfy.run(prompt).files)
    assert len(service.generations) - since == 1


def queued_again_behind_another(comfy: Comfy, held: Held) -> tuple[Ended, str]:
    """Return the first run of a prompt whose second one waits in ComfyUI's queue, and for whom."""
    first = comfy.run(drawing())
    local = comfy.queue(sleeping(60.0))
    comfy.wait_for(
        lambda: [each[1] for each in comfy.get("/queue").json()["queue_running"]] == [local]
    )
    held.release()
    comfy.wait_for(lambda: comfy.get("/queue").json()["queue_pending"])
    return first, local


def test_a_second_run_that_is_cleared_from_the_queue_stays_and_says_so(
    comfy: Comfy, held: Held
) -> None:
    first, local = queued_again_behind_another(comfy, held)
    comfy.post("/queue", {"clear": True})
    run = stopped(comfy)
    assert (run["id"], "removed from the queue" in run["reason"]["en"]) == (first.prompt_id, True)
    comfy.post("/interrupt", {})
    comfy.end_of(local)
    answer = comfy.post(f"/siliconflow/background/{first.prompt_id}", {})
    assert comfy.end_of(answer.json()["prompt_id"]).files


def test_a_prompt_that_is_given_up_does_not_go_on_and_its_result_is_saved(
    comfy: Comfy, service: Simulator
) -> None:
    since, prompt = len(service.generations), drawing()
    first = comfy.run(prompt)
    comfy.wait_for(lambda: len(service.generations) > since)
    path = f"/siliconflow/background/{first.prompt_id}"
    assert comfy.request("DELETE", path, json={}).status_code == 200
    assert waiting(comfy) == []
    comfy.wait_for(lambda: under_way(service, since) == 0)
    again = comfy.run(prompt)
    second = again if again.files else run_after(comfy, again.prompt_id)
    assert len(second.files) == len(service.generations) - since == 1
    assert runs_after(comfy, first.prompt_id) == []


def test_a_prompt_that_is_given_up_when_it_is_queued_again_leaves_the_queue(
    comfy: Comfy, held: Held
) -> None:
    first, local = queued_again_behind_another(comfy, held)
    path = f"/siliconflow/background/{first.prompt_id}"
    assert comfy.request("DELETE", path, json={}).status_code == 200
    assert comfy.get("/queue").json()["queue_pending"] == []
    comfy.post("/interrupt", {})
    comfy.end_of(local)
    assert (waiting(comfy), runs_after(comfy, first.prompt_id)) == ([], [])


def test_inputs_that_another_node_changes_each_time_are_paid_once_and_bring_what_was_paid(
    comfy: Comfy, service: Simulator
) -> None:
    since = len(service.generations)
    any_number: Json = {"class_type": "TestAnyNumber", "inputs": {}}
    prompt = {**drawing(seed=["5", 0], prompt=f"{seed()}"), "5": any_number}
    prompt["102"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 1]}}
    second = run_after(comfy, comfy.run(prompt).prompt_id)
    assert len(second.files) == 1
    (record,) = service.generations[since:]
    assert second.entry["outputs"]["102"]["text"] == [str(record.body["seed"])]
    comfy.wait_for(lambda: not waiting(comfy))


def test_an_edit_of_what_is_another_image_in_each_run_is_paid_once_and_saved(
    comfy: Comfy, service: Simulator
) -> None:
    charges, prompt = len(service.charges), edited_noise(2)
    for nth in (1, 2):  # queued again by the user, it is of other images
        second = run_after(comfy, comfy.run(prompt).prompt_id)
        assert len(second.files) == 2
        info = info_of(second)
        assert any("when the workflow first ran" in note for note in info["notes"])
        assert info["cost"]["amount"] == "0"
        assert len(service.charges) - charges == 2 * nth
        comfy.wait_for(lambda: not waiting(comfy))


def test_a_chain_behind_what_is_another_image_in_each_run_is_paid_once_and_saved(
    comfy: Comfy, service: Simulator
) -> None:
    charges = len(service.charges)
    behind = editing(image=["2", 0])
    prompt = {**edited_noise(), "3": behind["2"], "301": saving(["3", 0])}
    first = comfy.run(prompt)
    assert {*run_after(comfy, first.prompt_id).entry["outputs"]} == {"201", "202"}
    assert [*run_after(comfy, first.prompt_id, 2).entry["outputs"]] == ["301"]
    assert len(service.charges) - charges == 2
    comfy.wait_for(lambda: not waiting(comfy))


def test_another_number_of_images_in_the_second_run_is_said_and_pays_nothing(
    comfy: Comfy, service: Simulator
) -> None:
    charges, prompt = len(service.charges), edited_noise()
    prompt["8"]["inputs"]["grows"] = True
    second = run_after(comfy, comfy.run(prompt).prompt_id)
    assert second.files == []
    assert "another number of images than" in stopped(comfy)["reason"]["en"]
    assert len(service.charges) - charges == 1


def test_of_images_that_are_others_in_each_run_only_those_that_failed_are_paid_again(
    comfy: Comfy, service: Simulator
) -> None:
    service.fail(400)
    charges = len(service.charges)
    first = comfy.run(edited_noise(2))
    assert "1 of 2 requests failed" in stopped(comfy)["reason"]["en"]
    assert len(service.charges) - charges == 1
    comfy.post(f"/siliconflow/background/{first.prompt_id}", {"may_pay": True})
    comfy.wait_for(lambda: len(service.charges) - charges == 2)
    assert len(run_after(comfy, first.prompt_id, 2).files) == 2
    assert len(service.charges) - charges == 2


def test_a_second_run_that_is_killed_behind_another_image_in_each_run_is_paid_once(
    started: tuple[Comfy, dict[str, str]], comfy: Comfy, service: Simulator
) -> None:
    _, variables = started
    charges, prompt = len(service.charges), edited_noise()
    first = comfy.run({**prompt, **sleeping(6.0, image=["2", 0])})
    comfy.wait_for(lambda: comfy.get("/queue").json()["queue_running"])
    comfy.kill()
    comfy.start(variables)
    (run,) = waiting(comfy)
    assert (run["id"], run["state"]) == (first.prompt_id, "lost")
    answer = comfy.post(f"/siliconflow/background/{run['id']}", {})
    third = comfy.end_of(answer.json()["prompt_id"])
    assert {*third.entry["outputs"]} == {"201", "202", "901"}
    comfy.wait_for(lambda: not waiting(comfy))
    assert len(service.charges) - charges == 1


def test_a_prompt_that_is_stopped_by_a_budget_or_a_question_sends_nothing_and_waits_for_nothing(
    comfy: Comfy, service: Simulator
) -> None:
    since = len(service.generations)
    for limit in ({"confirm_images": 2}, {"daily_budget": 0.01, "unknown_price": 0.5}):
        assert comfy.post("/siliconflow/settings", limit).status_code == 200
        ended = comfy.run(drawing(batch_size=3, model=QWEN))
        assert "Nothing was sent" in error_of(ended)
        assert waiting(comfy) == []
    assert len(service.generations) == since


def test_more_prompts_than_may_wait_run_in_the_foreground(comfy: Comfy) -> None:
    comfy.post("/siliconflow/settings", {"background_runs": 1})
    first = comfy.run(drawing())
    prompt = drawing()
    prompt["102"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 2]}}
    second = comfy.run(prompt)
    assert second.files
    (info,) = second.entry["outputs"]["102"]["text"]
    assert any("1 workflow waits there already" in note for note in json.loads(info)["notes"])
    assert run_after(comfy, first.prompt_id).files


def test_a_setting_turns_it_on_for_every_node(comfy: Comfy) -> None:
    comfy.post("/siliconflow/settings", {"background": True})
    first = comfy.run(drawing(background=False))
    assert first.files == []
    assert run_after(comfy, first.prompt_id).files


def test_fifty_prompts_wait_and_each_is_paid_once(
    comfy: Comfy, service: Simulator, held: Held
) -> None:
    since = len(service.generations)
    firsts = [comfy.queue(drawing()) for _ in range(50)]
    comfy.wait_for(lambda: len(waiting(comfy)) == 50)
    held.release()
    for first in firsts:
        assert run_after(comfy, first).files
    assert len(service.generations) - since == 50


def test_a_program_is_told_the_id_of_the_second_run_by_an_event_and_in_its_info(
    comfy: Comfy,
) -> None:
    prompt = drawing()
    prompt["102"] = {"class_type": "PreviewAny", "inputs": {"source": ["1", 2]}}

    def told(heard: Heard) -> bool:
        return any(each["state"] == "over" for each in heard.data("siliconflow.background"))

    name = "siliconflow.background"
    heard = comfy.listen(prompt, {name}, queued_by="nobody", enough=told)
    (queued,) = [each for each in heard.data(name) if each["state"] == "queued"]
    second = comfy.end_of(queued["prompt_id"])
    assert second.entry["prompt"][3]["client_id"] == "nobody"  # whose page is closed
    (info,) = second.entry["outputs"]["102"]["text"]
    ids = {name: queued[name] for name in ("first_prompt_id", "prompt_id")}
    assert json.loads(info)["background"] == ids


def test_who_joins_is_told_the_id_of_the_second_run_and_keeps_a_seed_of_its_own(
    comfy: Comfy, service: Simulator, held: Held
) -> None:
    charges, name = len(service.charges), "siliconflow.background"
    prompt = {**drawing("1"), **drawing("2", seed=-1)}
    first = comfy.run(prompt).prompt_id

    def told(heard: Heard) -> bool:
        states = [each["state"] for each in heard.data(name)]
        if states.count("waiting") == 2:
            held.release()
        return states.count("over") == 3

    heard = comfy.listen(prompt, {name}, queued_by="another", enough=told).data(name)
    (joined,) = {each["first_prompt_id"] for each in heard} - {first}
    queued = {
        (each["id"], each["first_prompt_id"]): each["prompt_id"]
        for each in heard
        if each["state"] == "queued"
    }
    assert {*queued} == {(first, first), (first, joined), (joined, joined)}
    assert queued[first, first] == queued[first, joined]
    outputs = [comfy.end_of(id_).entry["outputs"] for id_ in {*queued.values()}]
    assert sorted(map(sorted, outputs)) == [["101", "201"], ["201"]]
    assert len(service.charges) - charges == 3


def test_a_video_is_fetched_after_a_restart_for_one_charge(
    started: tuple[Comfy, dict[str, str]],
    comfy: Comfy,
    service: Simulator,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(service, "clip_seconds", 15.0)
    _, variables = started
    service.latency, charges = 0.0, len(service.charges)
    first = comfy.run(filming())
    path = "/siliconflow/jobs"
    comfy.wait_for(lambda: any(job["doing"] for job in comfy.get(path).json()["jobs"]))
    comfy.kill()
    comfy.start(variables)
    assert [(run["id"], run["state"]) for run in waiting(comfy)] == [(first.prompt_id, "lost")]
    comfy.post(f"/siliconflow/background/{first.prompt_id}", {})
    comfy.wait_for(  # at once, where it is there by now
        lambda: any(comfy.end_of(id_).files for id_ in runs_after(comfy, first.prompt_id))
    )
    assert len(service.charges) - charges == 1


def test_a_restart_keeps_what_waits_asks_once_and_sends_nothing_unasked(
    started: tuple[Comfy, dict[str, str]], comfy: Comfy, service: Simulator
) -> None:
    _, variables = started
    done, since = drawing(), len(service.generations)
    service.latency = 0.0
    run_after(comfy, comfy.run(done).prompt_id)
    comfy.wait_for(lambda: not waiting(comfy))
    service.latency = 60.0
    lost = comfy.run({**done, **drawing("2", model=QWEN), **drawing("3", model=QWEN)})
    comfy.wait_for(lambda: under_way(service, since) == 2)
    comfy.kill()
    comfy.start(variables)
    service.latency = 0.0
    assert [(run["id"], run["state"]) for run in waiting(comfy)] == [(lost.prompt_id, "lost")]
    assert comfy.get("/siliconflow/background?ask=page").json()["ask"] == [lost.prompt_id]
    assert comfy.post("/siliconflow/background", {}).json() == {}
    assert comfy.get("/siliconflow/background?ask=page").json()["ask"] == []
    answer = comfy.post(f"/siliconflow/background/{lost.prompt_id}", {})
    second = comfy.end_of(answer.json()["prompt_id"])
    assert (second.status, second.files) == ("success", [])
    run = stopped(comfy)
    assert run["id"] == lost.prompt_id
    assert "may have been charged" in run["reason"]["en"]
    assert "Nothing was sent again" in run["reason"]["en"]
    assert len(service.generations) - since == 3


def test_what_was_never_charged_before_a_restart_is_sent_when_the_user_says_go_on(
    started: tuple[Comfy, dict[str, str]], comfy: Comfy, service: Simulator, held: Held
) -> None:
    _, variables = started
    comfy.post("/siliconflow/settings", {"max_parallel": 1})
    since, path = len(service.generations), "/siliconflow/jobs"
    in_turn = comfy.run(drawing(model=QWEN, batch_size=2))
    held.wait_for(1)
    service.fail(429)
    waits = comfy.run(drawing(model=QWEN))
    comfy.wait_for(lambda: any(job["waits_until"] for job in comfy.get(path).json()["jobs"]))
    comfy.kill()
    held.release()
    comfy.start(variables)
    for run in (waits, in_turn):
        assert comfy.post(f"/siliconflow/background/{run.prompt_id}", {}).status_code == 200
    assert run_after(comfy, waits.prompt_id, 2).files
    assert "may have been charged" in stopped(comfy)["reason"]["en"]
    assert len(service.generations) - since == 4


def test_a_chain_that_is_killed_in_its_second_run_is_one_run_and_pays_nothing_again(
    started: tuple[Comfy, dict[str, str]], comfy: Comfy, service: Simulator
) -> None:
    _, variables = started
    since = len(service.generations)
    first = comfy.run({**drawing(), **editing(), **sleeping(20.0, image=["1", 0])})
    comfy.wait_for(lambda: under_way(service, since) == 1)
    service.latency = 60.0
    comfy.wait_for(lambda: len(service.generations) - since == 2)
    second = comfy.get("/queue").json()["queue_running"][0][1]
    comfy.kill()
    comfy.start(variables)
    service.latency = 0.0
    (run,) = waiting(comfy)
    assert (run["id"], run["state"], run["nodes"]) == (second, "lost", ["1", "2"])
    answer = comfy.post(f"/siliconflow/background/{second}", {})
    third = comfy.end_of(answer.json()["prompt_id"])
    reason = stopped(comfy)["reason"]["en"]
    assert "may have been charged" in reason
    assert "Nothing was sent again" in reason
    assert len(service.generations) - since == 2
    assert going_on(third.entry)["first_prompt_id"] == first.prompt_id


def test_a_node_in_the_foreground_behind_that_is_killed_is_not_paid_again_by_itself(
    started: tuple[Comfy, dict[str, str]], comfy: Comfy, service: Simulator
) -> None:
    _, variables = started
    since = len(service.generations)
    first = comfy.run({**drawing(), **editing(background=False)})
    comfy.wait_for(lambda: under_way(service, since) == 1)
    service.latency = 60.0
    comfy.wait_for(lambda: len(service.generations) - since == 2)
    comfy.kill()
    comfy.start(variables)
    service.latency = 0.0
    (run,) = waiting(comfy)
    assert (run["id"], run["state"], run["nodes"]) == (first.prompt_id, "lost", ["1"])
    answer = comfy.post(f"/siliconflow/background/{run['id']}", {})
    assert "may have been charged" in error_of(comfy.end_of(answer.json()["prompt_id"]))
    assert stopped(comfy)["id"] == first.prompt_id
    assert len(service.generations) - since == 2
