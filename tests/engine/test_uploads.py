"""What becomes of input images on their way to the service."""

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import uploads as upload
from comfyui_siliconflow.engine.job import Plan
from comfyui_siliconflow.engine.uploads import Uploads
from comfyui_siliconflow.media import png
from comfyui_siliconflow.media.data_urls import Encoded, digest_of, encode
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow.errors import UploadTooLarge
from comfyui_siliconflow.storage.settings import Settings
from comfyui_siliconflow.tasks.image_tasks import plan_images
from comfyui_siliconflow.tests.former_names import name_as_before

Run = Callable[..., tuple[torch.Tensor, int, dict[str, Any]]]
Draw = Callable[..., torch.Tensor]
EDIT, REDRAW = "SiliconFlowImageEdit", "SiliconFlowImageToImage"
CHAT = "SiliconFlowChat"
KOLORS, MULTI_EDIT = "Kwai-Kolors/Kolors", "Qwen/Qwen-Image-Edit-2509"
SMALL = {"image_size": "custom", "width": 96, "height": 64}
ASKED: dict[str, dict[str, Any]] = {
    REDRAW: {"model": KOLORS, "prompt": "x", **SMALL},
    EDIT: {"model": MULTI_EDIT, "prompt": "x"},
    CHAT: {"model": "Qwen/Qwen3-VL-32B-Instruct", "prompt": "x"},
}


def run(node_id: str, inputs: dict[str, Any]) -> Any:
    return asyncio.run(NODE_CLASS_MAPPINGS[node_id]().execute(**inputs))


def posts(simulator: Simulator) -> list[Any]:
    return [record for record in simulator.requests if record.method == "POST"]


def edit(frames: int = 1) -> Plan:
    images = {name: torch.rand(frames, 64, 64, 3) for name in ("image", "image2", "image3")}
    inputs = {"model": MULTI_EDIT, "prompt": "x", "batch_size": 2, **images}
    return plan_images("image-edit", tuple(images), inputs, Settings())


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """Note each frame that is encoded."""
    frames: list[torch.Tensor] = []

    def noted(frame: torch.Tensor, *how: Any) -> Encoded:
        frames.append(frame)
        return encode(frame, *how)

    monkeypatch.setattr(upload, "encode", noted)
    return frames


def test_the_images_of_an_edit_are_encoded_at_the_same_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    together = threading.Barrier(3, timeout=20)

    def met(frame: torch.Tensor, *how: Any) -> Encoded:
        together.wait()
        return encode(frame, *how)

    monkeypatch.setattr(upload, "CPU", threading.BoundedSemaphore(3))
    monkeypatch.setattr(upload, "encode", met)
    assert set(Uploads(edit(), Settings()).urls(0)) == {"image", "image2", "image3"}


def test_a_frame_is_encoded_once_for_all_its_requests(encoded: list[torch.Tensor]) -> None:
    uploads = Uploads(edit(), Settings())
    first, second = uploads.urls(0), uploads.urls(0)
    assert len(encoded) == 3
    assert all(first[name] is second[name] for name in first)


def test_a_data_url_is_dropped_when_its_last_request_is_over(encoded: list[torch.Tensor]) -> None:
    uploads = Uploads(edit(frames=2), Settings())
    digests = uploads.digests(0)
    uploads.release(0)
    uploads.urls(0)
    assert len(encoded) == 3
    uploads.release(0)
    assert uploads.digests(0) == digests
    assert len(encoded) == 3
    uploads.urls(0)
    assert len(encoded) == 6


def test_other_images_have_other_digests() -> None:
    uploads = Uploads(edit(frames=2), Settings())
    assert len({*uploads.digests(0).values(), *uploads.digests(1).values()}) == 6


def test_a_large_image_is_scaled_and_the_node_says_so(
    simulator: Simulator, run_node: Run, make_image: Draw, write_settings: Callable[..., Path]
) -> None:
    write_settings(upload_side=32)
    _, _, info = run_node(REDRAW, model=KOLORS, prompt="x", image=make_image(height=64), **SMALL)
    (sent,) = info["uploads"]
    assert (sent["input"], sent["frame"], sent["format"]) == ("image", 0, "png")
    assert sent["width"] * sent["height"] <= 32 * 32
    assert sent["bytes"] == len(simulator.generations[0].body["image"])
    own = "x".join(map(str, sent["scaled_from"]))
    size = f"{sent['width']}×{sent['height']}"
    assert f"image: {own.replace('x', '×')} was scaled to {size}" in info["notes"][0]


@pytest.mark.parametrize("setting_and_format", [("lossy", "jpeg"), ("png", "png")])
def test_the_setting_decides_the_format(
    simulator: Simulator,
    run_node: Run,
    make_image: Draw,
    write_settings: Callable[..., Path],
    setting_and_format: tuple[str, str],
) -> None:
    upload_format, kind = setting_and_format
    write_settings(upload_format=upload_format)
    run_node(EDIT, model=MULTI_EDIT, prompt="x", image=make_image())
    assert simulator.generations[0].body["image"].startswith(f"data:image/{kind};base64,")


def test_for_a_reused_result_nothing_is_encoded(
    simulator: Simulator, run_node: Run, make_image: Draw, encoded: list[torch.Tensor]
) -> None:
    inputs = {"model": KOLORS, "prompt": "x", "image": make_image(), **SMALL}
    first, second = (run_node(REDRAW, **inputs)[2] for _ in range(2))
    assert second["requests"][0]["origin"] == "reused"
    assert len(encoded) == len(simulator.generations) == 1
    assert (len(first["uploads"]), second["uploads"]) == (1, [])


@pytest.mark.parametrize("node_id", [REDRAW, EDIT, CHAT])
@pytest.mark.parametrize("upload_format", ["lossy", "png"])
def test_the_same_pixels_in_another_format_are_not_paid_again(
    simulator: Simulator,
    write_settings: Callable[..., Path],
    make_image: Draw,
    node_id: str,
    upload_format: str,
) -> None:
    inputs = {**ASKED[node_id], "image": make_image(), "seed": 1}
    outputs = run(node_id, inputs)
    write_settings(upload_format=upload_format)
    assert len(run(node_id, inputs)[0]) == len(outputs[0])
    assert len(posts(simulator)) == 1


def test_the_same_pixels_from_another_encoder_are_not_paid_again(
    simulator: Simulator, run_node: Run, make_image: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs = {**ASKED[REDRAW], "image": make_image()}
    run_node(REDRAW, **inputs)
    monkeypatch.setattr("comfyui_siliconflow.media.png.METHODS", png.METHODS[-1:])
    assert run_node(REDRAW, **inputs)[2]["requests"][0]["origin"] == "reused"
    assert len(simulator.charges) == 1


@pytest.mark.parametrize("node_id", [REDRAW, CHAT])
def test_the_same_image_at_another_size_is_another_request(
    simulator: Simulator, write_settings: Callable[..., Path], make_image: Draw, node_id: str
) -> None:
    inputs = {**ASKED[node_id], "image": make_image(height=192), "seed": 1}
    run(node_id, inputs)
    write_settings(upload_side=60)
    run(node_id, inputs)
    assert len(posts(simulator)) == 2


def test_another_shape_or_pixel_is_another_image() -> None:
    image = torch.zeros(4, 6, 3)
    changed = image.clone()
    changed[0, 0, 0] = 1 / 255
    others = [changed, image.reshape(6, 4, 3), torch.zeros(4, 6, 4)]
    assert len({digest_of(each) for each in [image, *others]}) == 4
    assert digest_of(image, 12) != digest_of(image)
    assert digest_of(image.half()) == digest_of(image)


@pytest.mark.parametrize("node_id", [REDRAW, EDIT])
def test_what_was_paid_under_the_former_name_is_found_and_then_has_the_new_one(
    simulator: Simulator,
    write_settings: Callable[..., Path],
    make_image: Draw,
    encoded: list[torch.Tensor],
    node_id: str,
) -> None:
    inputs = {**ASKED[node_id], "image": make_image(height=64), "seed": 1}
    run(node_id, inputs)
    [sent] = posts(simulator)
    name_as_before(sent.path.removeprefix("/v1/"), sent.body)
    run(node_id, inputs)
    encoded.clear()
    write_settings(upload_format="lossy")
    run(node_id, inputs)
    assert encoded == []
    assert len(posts(simulator)) == 1


def test_the_guard_does_not_count_what_was_paid_under_the_former_name(
    simulator: Simulator, write_settings: Callable[..., Path], make_image: Draw
) -> None:
    inputs = {**ASKED[EDIT], "image": make_image(height=64), "seed": 1}
    run(EDIT, inputs)
    [sent] = posts(simulator)
    name_as_before(sent.path.removeprefix("/v1/"), sent.body)
    write_settings(most_pictures=1)
    run(EDIT, {**inputs, "batch_size": 2})
    assert len(posts(simulator)) == 2


@pytest.mark.parametrize(("refusals", "size"), [(1, (64, 64)), (2, (32, 32))])
def test_images_that_are_too_large_are_sent_smaller_with_a_note_and_paid_once(
    today: Simulator, run_node: Run, make_image: Draw, refusals: int, size: tuple[int, int]
) -> None:
    """Lossy at first, then with half the sides."""
    inputs = {"model": MULTI_EDIT, "prompt": "x", "seed": 1, "image": make_image(height=64)}
    today.fail(body="large-413", times=refusals)
    images, _, info = run_node(EDIT, **inputs)
    assert images.shape[0] == 1
    [*refused, sent] = today.generations
    assert [record.status for record in refused] == [413] * refusals
    assert refused[0].body["image"].startswith("data:image/png")
    assert sent.body["image"].startswith(("data:image/webp", "data:image/jpeg"))
    [described] = info["uploads"]
    assert (described["width"], described["height"]) == size
    assert f"{size[0]}×{size[1]} pixels" in info["notes"][0]
    assert "charges nothing for that" in info["notes"][0]
    assert len(today.charges) == 1
    _, _, again = run_node(EDIT, **inputs)
    assert again["requests"][0]["origin"] == "reused"
    assert len(today.charges) == 1


def test_images_that_stay_too_large_are_an_error_that_names_the_settings(
    today: Simulator, run_node: Run, make_image: Draw
) -> None:
    inputs = {"model": MULTI_EDIT, "prompt": "x", "seed": 1, "image": make_image()}
    today.fail(body="large-413", times=3)
    with pytest.raises(UploadTooLarge, match="Maximum upload size") as caught:
        run_node(EDIT, **inputs)
    assert caught.value.charged is False
    assert len(today.generations) == 3
    assert today.charges == []
    run_node(EDIT, **inputs)
    assert len(today.charges) == 1


def test_each_image_of_a_batch_is_paid_once_when_the_upload_was_too_large(
    today: Simulator, run_node: Run, make_image: Draw
) -> None:
    inputs = {"model": MULTI_EDIT, "prompt": "x", "seed": 1, "image": make_image(), "batch_size": 2}
    today.fail(body="large-413", times=2)
    images, _, _ = run_node(EDIT, **inputs)
    assert images.shape[0] == 2
    assert len(today.charges) == 2
    _, _, again = run_node(EDIT, **inputs)
    assert {entry["origin"] for entry in again["requests"]} == {"reused"}
    assert len(today.charges) == 2


def test_what_has_no_images_is_not_sent_again_for_its_size(today: Simulator, run_node: Run) -> None:
    today.fail(body="large-413")
    with pytest.raises(UploadTooLarge):
        run_node("SiliconFlowTextToImage", model=KOLORS, prompt="x")
    assert len(today.generations) == 1
