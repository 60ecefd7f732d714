"""Videos: submitted, waited for in line, made, told for ten minutes, and real MP4 files."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from typing import Any

import av
import numpy as np
import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator, video
from PIL import Image

T2V, I2V = "Wan-AI/Wan2.2-T2V-A14B", "Wan-AI/Wan2.2-I2V-A14B"


WHOLE = video.SECONDS


@pytest.fixture
def service(clock: Any) -> Iterator[Simulator]:
    with Simulator(as_of="today", clock=clock, clip_seconds=60) as running:
        yield running


def post(service: Simulator, path: str, body: dict[str, Any]) -> requests.Response:
    headers = {"Authorization": f"Bearer {service.key}"}
    return requests.post(f"{service.base_url}{path}", json=body, headers=headers, timeout=20)


def submit(service: Simulator, **changes: Any) -> requests.Response:
    body = {"model": T2V, "prompt": "a lighthouse", "image_size": "960x960", "seed": 1, **changes}
    body = {name: value for name, value in body.items() if value is not None}
    return post(service, "/video/submit", body)


def status(service: Simulator, submitted: requests.Response) -> dict[str, Any]:
    body = {"requestId": submitted.json()["requestId"]}
    answer: dict[str, Any] = post(service, "/video/status", body).json()
    return answer


def frames_of(service: Simulator, clock: Any, **changes: Any) -> list[Image.Image]:
    submitted = submit(service, **changes)
    clock.now += 60
    url = status(service, submitted)["results"]["videos"][0]["url"]
    with av.open(io.BytesIO(requests.get(url, timeout=20).content), "r") as file:
        frames = [frame.to_ndarray(format="rgb24") for frame in file.decode(video=0)]
    return [Image.fromarray(frame) for frame in frames]


def data_url(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def difference(one: Image.Image, other: Image.Image) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())


def test_a_clip_is_made_in_its_time_and_told_with_seed_and_seconds(
    service: Simulator, clock: Any
) -> None:
    submitted = submit(service, seed=7)
    assert status(service, submitted)["status"] == "InProgress"
    clock.now += 60
    done = status(service, submitted)
    assert done["status"] == "Succeed"
    assert (done["results"]["seed"], done["results"]["timings"]) == (7, {"inference": 60})


def test_two_clips_are_made_at_once_and_the_third_waits_in_line(
    service: Simulator, clock: Any
) -> None:
    clips = [submit(service) for _ in range(3)]
    words = [status(service, clip)["status"] for clip in clips]
    assert words == ["InProgress", "InProgress", "InQueue"]
    clock.now += 60
    assert status(service, clips[2])["status"] == "InProgress"


def test_a_submitted_clip_is_charged_once_however_often_it_is_asked_for(
    service: Simulator, clock: Any
) -> None:
    submitted = submit(service)
    clock.now += 60
    for _ in range(3):
        status(service, submitted)
    assert [float(charge.amount) for charge in service.charges] == [2.0]


def test_a_failed_clip_has_a_reason_and_costs_nothing(service: Simulator, clock: Any) -> None:
    service.clip_failure = "The prompt was refused."
    submitted = submit(service)
    clock.now += 60
    assert status(service, submitted) == {"status": "Failed", "reason": "The prompt was refused."}
    assert sum(charge.amount for charge in service.charges) == 0


def test_a_clip_is_told_for_ten_minutes_and_its_url_works_for_an_hour(
    service: Simulator, clock: Any
) -> None:
    submitted = submit(service)
    clock.now += 60 + 599
    url = status(service, submitted)["results"]["videos"][0]["url"]
    clock.now += 1
    assert status(service, submitted)["code"] == 20015
    assert requests.get(url, timeout=20).status_code == 200
    clock.now += 3600
    assert requests.get(url, timeout=20).status_code == 403


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"image_size": None}, 20015),
        ({"image_size": "1024x1024"}, 20015),
        ({"model": I2V}, 20015),
        ({"model": "Wan-AI/Wan2.1"}, 20012),
        ({"duration": 5}, 20015),
        ({"prompt": None}, 20016),
        ({"prompt": None, "input": {"prompt": "a lighthouse"}}, 20016),
    ],
)
def test_what_the_documents_do_not_take_is_refused_and_free(
    service: Simulator, changes: dict[str, Any], code: int
) -> None:
    answer = submit(service, **changes)
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert not service.charges


def test_the_file_is_five_seconds_of_the_size_that_move(
    service: Simulator, clock: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(video, "SECONDS", WHOLE)
    frames = frames_of(service, clock)
    assert (len(frames), frames[0].size) == (120, (960, 960))
    assert difference(frames[0], frames[-1]) > 1


def test_another_prompt_shows(service: Simulator, clock: Any) -> None:
    one, other = (frames_of(service, clock, prompt=prompt)[0] for prompt in ("a cat", "a dog"))
    assert difference(one, other) > 1


def test_the_clip_of_an_image_begins_with_it_in_its_shape(service: Simulator, clock: Any) -> None:
    image = Image.new("RGB", (400, 300), "teal")
    image.paste("orange", (50, 50, 200, 200))
    frames = frames_of(service, clock, model=I2V, image=data_url(image))
    width, height = frames[0].size
    assert width / height == pytest.approx(4 / 3, abs=0.03)
    assert width * height == pytest.approx(960 * 960, rel=0.03)
    above = (0, 0, width, height // 2)
    assert difference(frames[0].crop(above), image.resize((width, height)).crop(above)) < 3


@pytest.mark.parametrize("place", ["video_submit", "video_status"])
def test_each_step_can_be_told_to_fail(service: Simulator, place: Any) -> None:
    service.fail(503, on=place)
    submitted = submit(service)
    if place == "video_submit":
        assert submitted.status_code == 503
    else:
        assert status(service, submitted)["code"] == 50505
        assert status(service, submitted)["status"] == "InProgress"
