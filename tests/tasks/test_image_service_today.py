"""What the image nodes ask of the service as it is now: its mark, and batches."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine.services import current_settings, ledger_for
from comfyui_siliconflow.siliconflow.errors import BadRequest
from comfyui_siliconflow.storage.accounts import account_id
from comfyui_siliconflow.storage.ledger import fingerprint

DRAW = "SiliconFlowTextToImage"
KOLORS = {"model": "Kwai-Kolors/Kolors", "prompt": "a cat", "seed": 5}
QWEN = {**KOLORS, "model": "Qwen/Qwen-Image"}
Run = Callable[..., tuple[torch.Tensor, int, dict[str, Any]]]


@pytest.fixture
def international(
    use: Callable[[Simulator], None], write_settings: Callable[..., object]
) -> Iterator[Simulator]:
    """Serve the international site as it is now; it still takes `batch_size`."""
    write_settings(site="com")
    with Simulator(site="com", as_of="today") as started:
        use(started)
        yield started


def test_images_bear_the_visible_mark_unless_the_user_turns_it_off(
    today: Simulator, run_node: Run, write_settings: Callable[..., object]
) -> None:
    marked, _, info = run_node(DRAW, **KOLORS)
    write_settings(visible_watermark=False)
    plain, _, other = run_node(DRAW, **KOLORS)
    assert [record.watermark_off for record in today.generations] == [False, True]
    assert [info["visible_watermark"], other["visible_watermark"]] == [True, False]
    assert not torch.equal(marked, plain)


def test_an_image_without_the_visible_mark_is_another_request_and_reused_as_such(
    today: Simulator, run_node: Run, write_settings: Callable[..., object]
) -> None:
    origins = []
    for visible in (True, False, False, True):
        write_settings(visible_watermark=visible)
        _, _, info = run_node(DRAW, **KOLORS)
        origins.append(info["requests"][0]["origin"])
    assert origins == ["paid", "paid", "reused", "reused"]
    assert len(today.generations) == 2


def test_with_the_mark_a_request_is_known_by_its_body_alone(
    today: Simulator, run_node: Run
) -> None:
    """What was saved before there was the setting stays found."""
    run_node(DRAW, **KOLORS)
    [record] = today.generations
    account = account_id(today.key, today.base_url)
    name = fingerprint(account, "images/generations", record.body)
    assert ledger_for(current_settings()).is_paid(name)


def test_a_batch_is_as_many_requests_which_today_s_service_takes(
    today: Simulator, run_node: Run
) -> None:
    images, seed, info = run_node(DRAW, **KOLORS, batch_size=3)
    assert (images.shape[0], seed) == (3, 5)
    assert [entry["seed"] for entry in info["pictures"]] == [5, 6, 7]
    assert sorted(record.body["seed"] for record in today.generations) == [5, 6, 7]
    assert not [record for record in today.generations if "batch_size" in record.body]


def test_a_native_batch_that_the_service_removed_is_refused_and_not_charged(
    today: Simulator, run_node: Run, write_settings: Callable[..., object]
) -> None:
    write_settings(native_batch=True)
    with pytest.raises(BadRequest, match="batch_size: the parameter is no longer supported"):
        run_node(DRAW, **KOLORS, batch_size=3)
    assert today.charges == []


def test_a_native_batch_is_one_request_where_the_service_takes_it(
    international: Simulator, run_node: Run, write_settings: Callable[..., object]
) -> None:
    write_settings(native_batch=True)
    images, _, _ = run_node(DRAW, **QWEN, batch_size=3)
    assert images.shape[0] == 3
    [record] = international.generations
    assert record.body["batch_size"] == 3


def test_all_images_of_a_batch_size_in_extra_body_are_used(
    international: Simulator, run_node: Run
) -> None:
    images, _, info = run_node(DRAW, **QWEN, extra_body='{"batch_size": 3}')
    assert images.shape[0] == 3
    assert info["notes"] == []
    assert len(international.generations) == 1


def test_fewer_images_than_a_batch_size_in_extra_body_requested_are_used_and_noted(
    use: Callable[[Simulator], None], run_node: Run
) -> None:
    with Simulator(site="cn", as_of="today", removed_fields="ignore") as simulator:
        use(simulator)
        images, _, info = run_node(DRAW, **KOLORS, extra_body='{"batch_size": 3}')
    assert images.shape[0] == 1
    assert info["notes"][0] == "SiliconFlow returned 1 images instead of 3."


def told_of_the_mark(info: dict[str, Any]) -> int:
    return sum("Settings > SiliconFlow > Visible AI mark" in note for note in info["notes"])


def test_an_account_of_the_china_site_is_told_of_the_mark_once_with_its_first_image(
    today: Simulator, run_node: Run
) -> None:
    today.fail(400)
    with pytest.raises(BadRequest) as caught:
        run_node(DRAW, **KOLORS)
    assert "Visible AI mark" not in str(caught.value)
    infos = [run_node(DRAW, **{**KOLORS, "seed": seed})[2] for seed in (1, 2, 1)]
    assert [told_of_the_mark(info) for info in infos] == [1, 0, 0]


def test_another_account_is_told_of_the_mark_too_and_what_is_reused_tells_nothing(
    today: Simulator, run_node: Run, tmp_path: Path
) -> None:
    run_node(DRAW, **KOLORS)
    [marker] = (tmp_path / "data" / "notices_shown").iterdir()
    assert today.key not in marker.name
    marker.unlink()
    assert told_of_the_mark(run_node(DRAW, **KOLORS)[2]) == 0
    marker.with_name("visible_mark.cn-of-another-key").touch()
    assert told_of_the_mark(run_node(DRAW, **{**KOLORS, "seed": 6})[2]) == 1


def test_whoever_turned_the_mark_off_is_not_told_of_it(
    today: Simulator, run_node: Run, write_settings: Callable[..., object]
) -> None:
    write_settings(visible_watermark=False)
    assert told_of_the_mark(run_node(DRAW, **KOLORS)[2]) == 0
    assert len(today.generations) == 1


@pytest.mark.usefixtures("international")
def test_the_international_site_is_not_told_of_the_mark(run_node: Run) -> None:
    assert told_of_the_mark(run_node(DRAW, **QWEN)[2]) == 0


def test_two_runs_at_once_tell_of_the_mark_once(today: Simulator, run_node: Run) -> None:
    infos: list[dict[str, Any]] = []
    together = threading.Barrier(4)

    def draw(seed: int) -> None:
        together.wait()
        infos.append(run_node(DRAW, **{**KOLORS, "seed": seed})[2])

    threads = [threading.Thread(target=draw, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(infos), len(today.generations)] == [4, 4]
    assert sum(map(told_of_the_mark, infos)) == 1


def test_a_disk_that_cannot_be_written_costs_no_image_and_hides_no_note(
    today: Simulator, run_node: Run, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir(exist_ok=True)
    (tmp_path / "data" / "notices_shown").write_text("a file is where the folder should be")
    infos = [run_node(DRAW, **{**KOLORS, "seed": seed})[2] for seed in (1, 2)]
    assert [told_of_the_mark(info) for info in infos] == [1, 1]
    assert len(today.generations) == 2
