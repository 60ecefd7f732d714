"""Text to Video and Image to Video against the service of today: from inputs to files."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import retry
from comfyui_siliconflow.media import video_files
from comfyui_siliconflow.siliconflow.errors import (
    ConfirmationNeeded,
    DownloadFailed,
    GenerationFailed,
    GuardStopped,
    InvalidInput,
    ResultRefused,
    ServerError,
)
from comfyui_siliconflow.tests.waiting import pack_threads, until
from PIL import Image

Run = Callable[..., dict[str, Any]]
T2V, I2V = "SiliconFlowTextToVideo", "SiliconFlowImageToVideo"
WORDS = {"model": "Wan-AI/Wan2.2-T2V-A14B", "prompt": "a lighthouse", "image_size": "960x960"}
FRAME = {"model": "Wan-AI/Wan2.2-I2V-A14B", "prompt": "waves roll in"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again at once."""
    monkeypatch.setattr(retry, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(retry, "FIRST", 0.0)


def submits(service: Simulator) -> list[dict[str, Any]]:
    return [record.body for record in service.requests if record.path.endswith("/video/submit")]


def first_frame(file: Path) -> Image.Image:
    with av.open(str(file), "r") as container:
        return Image.fromarray(next(container.decode(video=0)).to_ndarray(format="rgb24"))


def test_a_prompt_becomes_a_file_with_its_seed_and_size(today: Simulator, outputs_of: Run) -> None:
    outputs = outputs_of(T2V, **WORDS, negative_prompt="fog", seed=7)
    [file] = outputs["video"]
    assert first_frame(file).size == (960, 960)
    assert outputs["seed"] == 7
    assert outputs["info"]["videos"] == [
        {"seed": 7, "width": 960, "height": 960, "length": 0.25, "frames": 6, "frame": 0}
    ]
    assert outputs["info"]["cost"]["amount"] == "2"
    assert submits(today) == [{**WORDS, "negative_prompt": "fog", "seed": 7}]


def test_each_frame_of_a_batch_becomes_a_video_that_begins_with_it(
    today: Simulator, outputs_of: Run
) -> None:
    frames = torch.zeros(2, 90, 160, 3)
    frames[0, :, :, 0] = 1.0
    frames[1, :, :, 2] = 1.0
    files = outputs_of(I2V, **FRAME, image=frames)["video"]
    colors = [np.asarray(first_frame(file))[100, 100].tolist() for file in files]
    assert [color.index(max(color)) for color in colors] == [0, 2]
    sent = submits(today)
    assert [body["image_size"] for body in sent] == ["1280x720"] * 2
    content = base64.b64decode(sent[0]["image"].partition(",")[2])
    assert Image.open(io.BytesIO(content)).size == (160, 90)


def test_the_same_again_is_free_and_another_seed_is_not(today: Simulator, outputs_of: Run) -> None:
    one, same, other = (outputs_of(T2V, **WORDS, seed=seed) for seed in (1, 1, 2))
    assert one["video"] == same["video"] != other["video"]
    assert same["info"]["requests"][0]["origin"] == "reused"
    assert len(submits(today)) == len(today.charges) == 2


@pytest.mark.parametrize(
    ("node", "inputs", "name"),
    [
        (T2V, {**WORDS, "prompt": " "}, "prompt"),
        (T2V, {**WORDS, "image_size": "1024x1024"}, "image_size"),
        (T2V, {**WORDS, "extra_body": '{"prompt": "x"}'}, "extra_body"),
        (T2V, {**WORDS, "model": FRAME["model"]}, "model"),
        (I2V, FRAME, "image"),
        (I2V, {**FRAME, "image": torch.zeros(0, 8, 8, 3)}, "image"),
    ],
)
def test_what_would_be_refused_is_not_sent(
    today: Simulator, outputs_of: Run, node: str, inputs: dict[str, Any], name: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        outputs_of(node, **inputs)
    assert caught.value.name == name
    assert today.requests == []


def test_many_frames_are_asked_about_and_what_a_budget_does_not_pay_is_not_sent(
    today: Simulator, outputs_of: Run, write_settings: Callable[..., Path]
) -> None:
    frames = torch.linspace(0, 1, 3).reshape(3, 1, 1, 1).expand(3, 8, 8, 3)
    write_settings(confirm_images=2, confirm_cost=0)
    with pytest.raises(ConfirmationNeeded, match=r"generates 3 videos and costs up to ¥6\.00"):
        outputs_of(I2V, **FRAME, image=frames)
    write_settings(daily_budget=5, confirm_cost=0)
    with pytest.raises(GuardStopped, match=r"could cost ¥6\.00"):
        outputs_of(I2V, **FRAME, image=frames)
    assert today.requests == []
    assert outputs_of(I2V, **FRAME, image=frames[:2])["info"]["cost"]["amount"] == "4"
    with pytest.raises(GuardStopped, match=r"¥4\.00 is spent"):
        outputs_of(T2V, **WORDS)


def test_fields_of_extra_body_are_sent(today: Simulator, outputs_of: Run) -> None:
    today.add_model("vendor/new", {"type": "object"}, ("text-to-video",), {})
    inputs = {**WORDS, "custom_model": "vendor/new", "extra_body": '{"duration": 10}'}
    assert outputs_of(T2V, **inputs)["video"]
    assert submits(today)[0]["duration"] == 10


def test_the_reason_of_a_failure_is_told_and_the_next_run_may_pay(
    today: Simulator, outputs_of: Run
) -> None:
    today.clip_failure = "The prompt was refused."
    with pytest.raises(GenerationFailed, match="The prompt was refused") as caught:
        outputs_of(T2V, **WORDS)
    assert caught.value.charged is None
    today.clip_failure = None
    assert outputs_of(T2V, **WORDS)["info"]["notes"]


@pytest.mark.parametrize("body", [{}, "overloaded", {"code": 50000, "message": "no upstream"}])
def test_a_503_without_a_code_of_the_service_is_not_sent_again_by_itself(
    today: Simulator, outputs_of: Run, body: Any
) -> None:
    today.fail(503, body=body, made=True, on="video_submit")
    with pytest.raises(ServerError, match="You may have been charged") as caught:
        outputs_of(T2V, **WORDS)
    assert caught.value.charged is None
    assert len(submits(today)) == len(today.charges) == 1
    assert "may have been charged" in outputs_of(T2V, **WORDS)["info"]["notes"][0]


@pytest.mark.parametrize("code", [50505, 50508, 50603])
def test_a_503_by_which_the_service_says_that_it_is_busy_is_sent_again(
    today: Simulator, outputs_of: Run, code: int
) -> None:
    today.fail(503, body={"code": code, "message": "busy"}, on="video_submit")
    assert outputs_of(T2V, **WORDS)["video"]
    assert len(submits(today)) == 2
    assert len(today.charges) == 1


def test_odd_words_and_a_busy_service_are_waited_out(today: Simulator, outputs_of: Run) -> None:
    for status in (503, 429, 504, 0):
        today.fail(status, times=3, on="video_status")
    today.fail(200, times=2, body={"status": "Reviewing"}, on="video_status")
    assert outputs_of(T2V, **WORDS)["video"]
    assert len(today.charges) == 1


@pytest.mark.parametrize(
    ("word", "is_done"),
    [("Succeeded", True), ("Success", True), ("completed", True), ("InProgress", False)],
)
def test_an_odd_word_with_a_url_is_a_video_that_is_done(
    today: Simulator, outputs_of: Run, word: str, is_done: bool
) -> None:
    [file] = outputs_of(T2V, **WORDS, seed=1)["video"]
    url = today.publish("odd.mp4", file.read_bytes(), "video/mp4")
    odd = {"status": word, "results": {"videos": [{"url": url}]}}
    today.fail(200, times=3, body=odd, on="video_status")
    outputs = outputs_of(T2V, **WORDS, seed=2)
    assert (outputs["video"][0].read_bytes() == file.read_bytes()) is is_done
    assert len(submits(today)) == 2


def test_the_size_of_a_file_is_bounded_by_the_settings(
    today: Simulator,
    outputs_of: Run,
    write_settings: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_settings(most_picture_mib=1)
    publish, large = today.publish, b"\0" * (3 << 20)
    monkeypatch.setattr(today, "publish", lambda name, _content, kind: publish(name, large, kind))
    with pytest.raises(ResultRefused, match="most_picture_mib"):
        outputs_of(T2V, **WORDS)


def test_a_damaged_file_is_downloaded_once_more(today: Simulator, outputs_of: Run) -> None:
    today.fail(broken="short", on="pictures")
    assert outputs_of(T2V, **WORDS)["video"]
    downloads = [record for record in today.requests if "/pictures/" in record.path]
    assert len(downloads) == 2


def test_a_file_that_is_no_video_is_kept_to_be_shown_and_named(
    today: Simulator, outputs_of: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = today.publish
    monkeypatch.setattr(today, "publish", lambda name, _content, kind: publish(name, b"no", kind))
    folder = tmp_path / "data" / "siliconflow-ledger" / "refused"
    for seed in range(6):
        with pytest.raises(ResultRefused) as caught:
            outputs_of(T2V, **WORDS, seed=seed)
    kept = list(folder.iterdir())
    assert [file.read_bytes() for file in kept] == [b"no"] * 4
    assert any(str(file) in str(caught.value) for file in kept)


def test_a_disk_that_takes_no_file_leaves_the_video_to_be_downloaded_for_free(
    today: Simulator, outputs_of: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource", reason="only Unix bounds the size of files")
    publish, padding = today.publish, struct.pack(">I4s", 2 << 20, b"free").ljust(2 << 20, b"\0")
    monkeypatch.setattr(
        today, "publish", lambda name, content, kind: publish(name, content + padding, kind)
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, hard))
    try:
        with pytest.raises(DownloadFailed, match="could not be written to the disk") as caught:
            outputs_of(T2V, **WORDS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "Make room on the disk" in str(caught.value)
    assert "charged again" not in str(caught.value)
    outputs = outputs_of(T2V, **WORDS)
    assert outputs["info"]["requests"][0]["origin"] == "downloaded"
    assert len(today.charges) == 1


def test_without_a_ledger_the_video_comes_all_the_same(
    today: Simulator, outputs_of: Run, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "siliconflow-ledger").write_text("in the way")
    outputs = outputs_of(T2V, **WORDS)
    assert first_frame(outputs["video"][0]).size == (960, 960)
    assert any("not saved" in note for note in outputs["info"]["notes"])
    assert len(today.charges) == 1
    until(lambda: not pack_threads())


def test_a_video_that_arrives_is_decoded_once(
    today: Simulator, outputs_of: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode, decoded = video_files._decode, []  # noqa: SLF001 - to count

    def count(path: Path, *given: Any, **how: Any) -> video_files.Clip:
        decoded.append(path)
        return decode(path, *given, **how)

    monkeypatch.setattr(video_files, "_decode", count)
    [file] = outputs_of(T2V, **WORDS)["video"]
    assert (len(decoded), len(today.charges)) == (1, 1)
    assert first_frame(file).size == (960, 960)
