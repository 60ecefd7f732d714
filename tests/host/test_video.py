"""Videos in ComfyUI: to its own nodes, through a kill at any time, and on by itself afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.storage.spend_book import READ_SECONDS
from comfyui_siliconflow.tests.host.comfy import Comfy, variables_for
from PIL import Image

Json = dict[str, Any]
CLIP_SECONDS = 12.0
"""So long that ComfyUI is killed meanwhile; a test waits for what it needs, not for this."""


@pytest.fixture(scope="module")
def running_service() -> Iterator[Simulator]:
    """Serve the China site as it is now."""
    with Simulator(site="cn", as_of="today", balance="10000") as started:
        yield started


@pytest.fixture(scope="module")
def variables(running_service: Simulator) -> dict[str, str]:
    """Return the environment of ComfyUI."""
    return variables_for(running_service)


@pytest.fixture(scope="module")
def comfy(tmp_path_factory: pytest.TempPathFactory, variables: dict[str, str]) -> Iterator[Comfy]:
    """Start a ComfyUI that tests may kill."""
    with Comfy(tmp_path_factory.mktemp("comfyui")) as comfy:
        comfy.forget_settings(native_batch=False)
        comfy.start(variables)
        yield comfy


@pytest.fixture(autouse=True)
def quick(running_service: Simulator) -> Iterator[None]:
    """Make clips at once, but for the test that says otherwise."""
    yield
    running_service.clip_seconds = 0.0
    running_service.clear_failures()


def words_to_clip(seed: int) -> Json:
    node = {
        "model": "Wan-AI/Wan2.2-T2V-A14B",
        "prompt": "A lighthouse at dawn",
        "image_size": "960x960",
        "seed": seed,
    }
    save = {"video": ["1", 0], "filename_prefix": f"clip{seed}", "format": "auto", "codec": "auto"}
    return {
        "1": {"class_type": "SiliconFlowTextToVideo", "inputs": node},
        "2": {"class_type": "SaveVideo", "inputs": save},
    }


def image_to_clip(seed: int) -> Json:
    node = {
        "model": "Wan-AI/Wan2.2-I2V-A14B",
        "prompt": "The camera moves closer",
        "image": ["1", 0],
        "seed": seed,
    }
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "example.png"}},
        "2": {"class_type": "SiliconFlowImageToVideo", "inputs": node},
        "3": {"class_type": "GetVideoComponents", "inputs": {"video": ["2", 0]}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}},
    }


TEMPLATES = {"Words to clip": 1, "Image to clip": 1, "Storyboard of clips": 4}
"""How many clips a template pays; each ends in one file."""


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_template_makes_one_file_of_its_clips(
    comfy: Comfy,
    running_service: Simulator,
    load: Callable[[str], Json],
    convert: Callable[[Json], Json],
    name: str,
) -> None:
    workflow, before = load(name), submitted(running_service)
    prompt = convert(workflow)
    ended = comfy.run(prompt, workflow)
    if ended.status != "success":  # what it costs may have to be confirmed
        assert "Please confirm" in str(ended.entry["status"])
        time.sleep(READ_SECONDS)
        ended = comfy.run(prompt, workflow)
    assert ended.status == "success", ended.entry["status"]
    assert submitted(running_service) - before == TEMPLATES[name]
    [file] = [file for file in ended.files if file.suffix == ".mp4"]
    with av.open(str(file), "r") as opened:
        frames = [frame.to_ndarray(format="rgb24") for frame in opened.decode(video=0)]
    clips = np.array_split(np.stack(frames).astype(float), TEMPLATES[name])
    assert len({len(clip) for clip in clips}) == 1
    for clip, following in pairwise(clips):  # a cut, where the frames of one clip glide
        assert np.abs(clip[-1] - following[0]).mean() > np.abs(clip[-1] - clip[0]).mean()


def submitted(service: Simulator) -> int:
    return sum(record.path.endswith("/video/submit") for record in service.requests)


def saved(comfy: Comfy, seed: int) -> Path:
    [file] = (comfy.folder / "output").glob(f"clip{seed}_*.mp4")
    return file


def test_a_prompt_becomes_a_saved_video(comfy: Comfy) -> None:
    ended = comfy.run(words_to_clip(1))
    assert ended.status == "success", ended.entry["status"]
    with av.open(str(saved(comfy, 1)), "r") as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    assert frames[0].shape == (960, 960, 3)


def test_an_image_becomes_frames_that_begin_with_it(comfy: Comfy) -> None:
    ended = comfy.run(image_to_clip(2))
    assert ended.status == "success", ended.entry["status"]
    with (
        Image.open(comfy.folder / "input" / "example.png") as given,
        Image.open(ended.files[0]) as first,
    ):
        width, height = first.size
        above = (0, 0, width, height // 3)
        wanted = given.convert("RGB").resize(first.size).crop(above)
        got = first.convert("RGB").crop(above)
    assert np.abs(np.asarray(wanted, float) - np.asarray(got, float)).mean() < 12


def test_the_node_shows_what_the_service_does(comfy: Comfy, running_service: Simulator) -> None:
    running_service.clip_seconds = 7.0
    heard = comfy.listen(words_to_clip(3))
    assert any("being generated" in line for line in heard.texts)
    assert any("usually takes about" in line for line in heard.texts)


def test_a_cancelled_video_comes_into_the_ledger(comfy: Comfy, running_service: Simulator) -> None:
    running_service.clip_seconds, before = 8.0, submitted(running_service)
    prompt_id = comfy.queue(words_to_clip(4))
    comfy.wait_for(lambda: submitted(running_service) > before)
    comfy.post("/interrupt", {})
    assert comfy.end_of(prompt_id).status == "error"
    comfy.wait_for(lambda: newest_job(comfy)["state"] == "done")
    assert comfy.run(words_to_clip(4)).status == "success"
    assert submitted(running_service) == before + 1


def newest_job(comfy: Comfy) -> Json:
    jobs: list[Json] = comfy.get("/siliconflow/jobs").json()["jobs"]
    return jobs[0]


def test_a_kill_while_the_video_is_made_costs_nothing_and_it_is_fetched_by_itself(
    comfy: Comfy, running_service: Simulator, variables: dict[str, str]
) -> None:
    running_service.clip_seconds, before = CLIP_SECONDS, submitted(running_service)
    comfy.queue(words_to_clip(5))
    comfy.wait_for(lambda: submitted(running_service) > before and polls(running_service) > 0)
    killed = newest_job(comfy)
    comfy.kill()
    comfy.start(variables)
    comfy.wait_for(lambda: newest_job(comfy)["state"] == "done")
    assert newest_job(comfy)["id"] == killed["id"]
    [picture] = newest_job(comfy)["pictures"]
    assert picture["is_here"]
    assert comfy.run(words_to_clip(5)).status == "success"
    assert submitted(running_service) == before + 1
    assert saved(comfy, 5).stat().st_size > 1000


def polls(service: Simulator) -> int:
    """Return how often the last clip that was submitted was asked for."""
    paths = [record.path for record in service.requests]
    last = max(at for at, path in enumerate(paths) if path.endswith("/video/submit"))
    return sum(path.endswith("/video/status") for path in paths[last:])
