"""The road of a paid call, from the node to the simulator and back."""

import asyncio
import io
import re
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import torch
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import uploads as upload
from comfyui_siliconflow.media.data_urls import Encoded, encode
from comfyui_siliconflow.media.image_files import decode, tensor_to_pil, to_batch
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import catalogue, errors
from comfyui_siliconflow.siliconflow.client import Client
from comfyui_siliconflow.siliconflow.model_advice import add_advice
from comfyui_siliconflow.storage.job_history import JobHistory
from comfyui_siliconflow.storage.settings import MissingKey
from comfyui_siliconflow.strings.text import Text
from comfyui_siliconflow.tests.conftest import Held
from comfyui_siliconflow.tests.data_urls import file_of
from comfyui_siliconflow.tests.waiting import until
from PIL import Image

Run = Callable[..., tuple[torch.Tensor, int, dict[str, Any]]]
Draw = Callable[..., torch.Tensor]

DRAW = "SiliconFlowTextToImage"
REDRAW = "SiliconFlowImageToImage"
EDIT = "SiliconFlowImageEdit"
KOLORS = "Kwai-Kolors/Kolors"
QWEN = "Qwen/Qwen-Image"
PRO = "black-forest-labs/FLUX-1.1-pro"
MULTI_EDIT = "Qwen/Qwen-Image-Edit-2509"
AFTER_RETIREMENT = "2026-09-29"
SMALL = {"image_size": "custom", "width": 96, "height": 64}


def read(url: str) -> torch.Tensor:
    return to_batch([decode(file_of(url))])[0]


def execute(**inputs: Any) -> Coroutine[Any, Any, Any]:
    values = {"model": KOLORS, "prompt": "a cat", **SMALL, **inputs}
    return NODE_CLASS_MAPPINGS[DRAW]().execute(**values)


def test_a_prompt_becomes_an_image_a_seed_and_info(simulator: Simulator, run_node: Run) -> None:
    images, seed, info = run_node(DRAW, model=QWEN, prompt="a cat", seed=42, **SMALL)
    assert (images.shape, images.dtype) == ((1, 64, 96, 3), torch.float32)
    assert (seed, info["model"]) == (42, QWEN)
    assert info["pictures"] == [{"seed": 42, "width": 96, "height": 64, "frame": 0}]
    assert info["requests"][0]["trace_id"] == simulator.generations[0].trace_id
    assert simulator.charges[0].pictures == 1


@pytest.mark.usefixtures("simulator")
def test_the_same_seed_gives_the_same_image(run_node: Run, write_settings: Any) -> None:
    write_settings(reuse=False)
    first, second, other = (
        run_node(DRAW, model=QWEN, prompt="a cat", seed=seed, **SMALL)[0] for seed in (1, 1, 2)
    )
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


@pytest.mark.parametrize(("model", "requests"), [(KOLORS, 2), (QWEN, 6)])
def test_six_images_come_of_any_model(
    simulator: Simulator, run_node: Run, model: str, requests: int
) -> None:
    images, _, info = run_node(DRAW, model=model, prompt="x", batch_size=6, seed=3, **SMALL)
    assert images.shape[0] == 6
    assert len({frame.numpy().tobytes() for frame in images}) == 6
    assert len(simulator.generations) == requests
    assert sum(charge.pictures for charge in simulator.charges) == 6
    assert len(info["pictures"]) == 6


def test_every_frame_of_a_batch_is_sent_as_it_is(
    simulator: Simulator, run_node: Run, make_image: Draw
) -> None:
    frames = make_image(frames=3)
    images, _, _ = run_node(REDRAW, model=KOLORS, prompt="x", image=frames, **SMALL)
    sent = [read(record.body["image"]) for record in simulator.generations]
    assert images.shape[0] == 3
    for frame in frames:
        assert any(torch.equal(found[0], frame) for found in sent)


@pytest.mark.usefixtures("simulator")
def test_results_stand_in_the_order_of_the_frames(run_node: Run, make_image: Draw) -> None:
    frames = make_image(frames=3)
    whole, _, info = run_node(REDRAW, model=KOLORS, prompt="x", image=frames, seed=1, **SMALL)
    for at in range(3):
        alone, _, _ = run_node(
            REDRAW, model=KOLORS, prompt="x", image=frames[at : at + 1], seed=1, **SMALL
        )
        assert torch.equal(whole[at], alone[0])
    assert [entry["frame"] for entry in info["pictures"]] == [0, 1, 2]


def test_three_images_go_in_under_their_names(
    simulator: Simulator, run_node: Run, make_image: Draw
) -> None:
    images = [make_image(height=side) for side in (64, 48, 32)]
    run_node(
        EDIT,
        model=MULTI_EDIT,
        prompt="@image3 on @image1",
        **dict(zip(("image", "image2", "image3"), images, strict=True)),
    )
    body = simulator.generations[0].body
    for name, original in zip(("image", "image2", "image3"), images, strict=True):
        assert torch.equal(read(body[name]), original)


def test_one_second_image_serves_every_frame_and_is_encoded_once(
    simulator: Simulator, run_node: Run, make_image: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[torch.Tensor] = []

    def counted(frame: torch.Tensor, *how: Any) -> Encoded:
        encoded.append(frame)
        return encode(frame, *how)

    monkeypatch.setattr(upload, "encode", counted)
    run_node(
        EDIT, model=MULTI_EDIT, prompt="x", image=make_image(frames=3), image2=make_image(height=32)
    )
    assert len(encoded) == 4
    assert len({record.body["image2"] for record in simulator.generations}) == 1
    assert len({record.body["image"] for record in simulator.generations}) == 3


@pytest.mark.parametrize("answer", ["url", "b64_json", "data_url"])
@pytest.mark.parametrize("lists", [("images",), ("data",), ("images", "data")])
def test_every_form_of_answer_gives_the_same_image(
    simulator: Simulator, run_node: Run, answer: Any, lists: tuple[str, ...], write_settings: Any
) -> None:
    write_settings(reuse=False)
    expected, _, _ = run_node(DRAW, model=QWEN, prompt="a cat", seed=1, **SMALL)
    simulator.answer, simulator.answer_lists = answer, lists
    images, _, _ = run_node(DRAW, model=QWEN, prompt="a cat", seed=1, **SMALL)
    assert torch.equal(images, expected)


@pytest.mark.usefixtures("simulator")
def test_results_of_other_sizes_are_fitted_to_the_first_and_info_says_so(
    run_node: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = iter([_png(32, 32), _png(64, 32)])
    monkeypatch.setattr(Client, "download", lambda *_: next(files))
    images, _, info = run_node(DRAW, model=QWEN, prompt="x", batch_size=2, **SMALL)
    assert images.shape == (2, images.shape[1], images.shape[2], 3)
    assert len(info["resized"]) == 1
    assert info["resized"][0]["index"] == 1


@pytest.mark.usefixtures("simulator")
def test_a_refused_model_of_the_other_site_says_so_and_how_to_switch(run_node: Run) -> None:
    with pytest.raises(errors.ModelNotFound) as caught:
        run_node(DRAW, model=PRO, prompt="a cat")
    english, chinese = map(caught.value.text.in_language, ("en", "zh"))
    assert f"{PRO} is a model of siliconflow.com; your site is siliconflow.cn" in english
    assert "choose International in Settings > SiliconFlow > Site" in english
    assert "选择“国际站”" in chinese
    suggested = re.search(r"such as ([\w/.-]+\w)", english)
    assert suggested
    assert suggested.group(1) in chinese
    assert run_node(DRAW, model=suggested.group(1), prompt="a cat")


def test_a_refused_retired_model_says_since_when_and_what_to_take_instead(
    use: Callable[[Simulator], None], run_node: Run
) -> None:
    with Simulator(as_of=AFTER_RETIREMENT) as service:
        use(service)
        with pytest.raises(errors.ModelNotFound) as caught:
            run_node(DRAW, model="stabilityai/stable-diffusion-3-medium", prompt="a cat")
        english, chinese = map(caught.value.text.in_language, ("en", "zh"))
        assert "stabilityai/stable-diffusion-3-medium was retired on 2025-02-27." in english
        assert "已于 2025-02-27 下线" in chinese
        assert english.index("was retired on") < english.index("Choose another model")
        suggested = re.search(r"one of these instead: ([^\n]+)\.", english)
        assert suggested
        for model in suggested.group(1).split(", "):
            assert run_node(DRAW, model=model, prompt="a cat")


def test_a_retired_model_that_sees_is_replaced_by_ones_that_see(
    use: Callable[[Simulator], None], outputs_of: Callable[..., Any]
) -> None:
    with Simulator(as_of=AFTER_RETIREMENT) as service:
        use(service)
        with pytest.raises(errors.ModelNotFound) as caught:
            outputs_of("SiliconFlowChat", model="Qwen/Qwen2-VL-72B-Instruct", prompt="What is it?")
    english = caught.value.text.in_language("en")
    assert "is no longer offered; it was gone by 2026-07-21" in english
    suggested = re.search(r"one of these instead: ([^\n]+)\.", english)
    assert suggested
    find = catalogue.load().find
    assert all(find(model, "cn").sees for model in suggested.group(1).split(", "))


def test_a_retired_model_of_text_to_image_may_be_replaced_by_one_that_takes_no_image() -> None:
    model = catalogue.load().find("stabilityai/stable-diffusion-xl-base-1.0", "cn")
    error = errors.ModelNotFound(errors.Failure(status=400, code=20012))
    add_advice(error, model, "text-to-image", "cn")
    suggested = re.search(r"one of these instead: ([^\n]+)\.", error.text.in_language("en"))
    assert suggested
    assert len(suggested.group(1).split(", ")) == 3


def test_for_text_to_image_of_the_other_site_the_cheapest_of_this_one_is_suggested() -> None:
    known = catalogue.load()
    here = [model for model in known.of_task("text-to-image") if model.site == "com"]
    prices = {model.id: model.price["image"] for model in here if model.price}
    error = errors.ModelNotFound(errors.Failure(status=400, code=20012))
    add_advice(error, known.find("Kwai-Kolors/Kolors", "com"), "text-to-image", "com")
    suggested = re.search(r"such as (\S+)\.\n", error.text.in_language("en"))
    assert suggested
    assert prices[suggested.group(1)] == min(prices.values())


@pytest.mark.usefixtures("simulator")
def test_a_key_that_is_refused_may_be_one_of_the_model_s_site(
    run_node: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILICONFLOW_API_KEY", "sk-of-the-other-site")
    with pytest.raises(errors.InvalidKey, match=r"is a model of siliconflow\.com"):
        run_node(DRAW, model=PRO, prompt="a cat")


def test_a_refused_model_of_the_own_site_is_not_called_the_other_s(
    simulator: Simulator, run_node: Run
) -> None:
    simulator.fail(401)
    with pytest.raises(errors.InvalidKey) as caught:
        run_node(DRAW, model=KOLORS, prompt="a cat", **SMALL)
    assert "is a model of" not in str(caught.value)


def test_a_model_that_the_catalogue_lacks_works(simulator: Simulator, run_node: Run) -> None:
    simulator.add_model("vendor/new", {"type": "object"})
    images, _, _ = run_node(
        DRAW,
        model=KOLORS,
        custom_model="vendor/new",
        prompt="x",
        image_size="64x64",
        extra_body='{"style": "ink"}',
    )
    assert images.shape == (1, 64, 64, 3)
    assert simulator.generations[0].body == {
        "model": "vendor/new",
        "prompt": "x",
        "image_size": "64x64",
        "seed": 0,
        "style": "ink",
    }


@pytest.mark.parametrize(
    "inputs",
    [
        {"prompt": " "},
        {"num_inference_steps": 101},
        {"model": MULTI_EDIT},
        {"extra_body": "{"},
        {"image_size": "big"},
    ],
)
def test_nothing_is_sent_when_an_input_is_wrong(
    simulator: Simulator, run_node: Run, inputs: dict[str, Any]
) -> None:
    with pytest.raises(errors.InvalidInput):
        run_node(DRAW, **{"model": KOLORS, "prompt": "x", **inputs})
    assert simulator.requests == []


def test_without_a_key_nothing_is_sent(
    simulator: Simulator, run_node: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SILICONFLOW_API_KEY")
    with pytest.raises(MissingKey):
        run_node(DRAW, model=KOLORS, prompt="x")
    assert simulator.requests == []


def test_a_changed_key_counts_from_the_next_run(
    simulator: Simulator, run_node: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SILICONFLOW_API_KEY", "sk-wrong")
    with pytest.raises(errors.InvalidKey):
        run_node(DRAW, model=KOLORS, prompt="x", **SMALL)
    monkeypatch.setenv("SILICONFLOW_API_KEY", simulator.key)
    run_node(DRAW, model=KOLORS, prompt="x", **SMALL)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.BadRequest),
        (403, errors.Forbidden),
        (404, errors.WrongAddress),
        (500, errors.ServerError),
        (504, errors.GatewayTimeout),
        (0, errors.ConnectionLost),
    ],
)
def test_a_failed_call_is_the_error_of_its_cause_and_sent_once(
    simulator: Simulator, run_node: Run, status: int, kind: type[errors.RequestError]
) -> None:
    simulator.fail(status)
    with pytest.raises(kind) as caught:
        run_node(DRAW, model=KOLORS, prompt="x", **SMALL)
    assert KOLORS in str(caught.value)
    assert len(simulator.generations) == 1
    if status:
        assert simulator.generations[0].trace_id in str(caught.value)


def test_after_a_failure_no_further_request_is_begun(
    simulator: Simulator, run_node: Run, write_settings: Any
) -> None:
    write_settings(max_parallel=1)
    simulator.fail(400)
    with pytest.raises(errors.PartialFailure, match=r"1 of 5 .* 4 were not"):
        run_node(DRAW, model=QWEN, prompt="x", batch_size=5, **SMALL)
    assert len(simulator.generations) == 1


def test_a_result_that_is_no_image_is_an_error_with_its_trace_id(
    simulator: Simulator, run_node: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Client, "download", lambda *_: b"<html>")
    with pytest.raises(errors.BadPicture) as caught:
        run_node(DRAW, model=QWEN, prompt="x", **SMALL)
    assert simulator.generations[0].trace_id in str(caught.value)


def test_nodes_of_one_graph_overlap(held: Held) -> None:
    async def graph() -> None:
        nodes = [asyncio.create_task(execute(seed=seed)) for seed in range(4)]
        await asyncio.to_thread(held.wait_for, 4)
        held.release()
        await asyncio.gather(*nodes)

    asyncio.run(graph())


def test_the_loop_is_free_while_a_node_waits(held: Held) -> None:
    async def graph() -> None:
        node = asyncio.create_task(execute())
        await asyncio.to_thread(held.wait_for, 1)
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert not node.done()
        held.release()
        await node

    asyncio.run(graph())


class Cancelled(BaseException):
    """Stands for ComfyUI's own exception, which is no Exception either."""


def test_a_cancelled_node_stops_while_its_request_goes_on(
    simulator: Simulator, held: Held, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop() -> None:
        if held.under_way:
            raise Cancelled

    monkeypatch.setattr(host, "raise_if_cancelled", stop)
    with pytest.raises(Cancelled):
        asyncio.run(execute())
    assert simulator.generations[0].status is None
    held.release()
    until(lambda: simulator.generations[0].status == 200)
    until(lambda: simulator.generations[0].delivered)


def test_when_another_node_fails_the_run_ends_at_once(simulator: Simulator, held: Held) -> None:
    async def graph() -> None:
        node = asyncio.create_task(execute())
        await asyncio.to_thread(held.wait_for, 1)
        node.cancel()
        with pytest.raises(asyncio.CancelledError):
            await node

    asyncio.run(graph())
    assert simulator.generations[0].status is None


@pytest.mark.usefixtures("simulator")
def test_the_node_says_seconds_while_it_waits_and_what_arrived(held: Held) -> None:
    lines: list[str] = []
    bars: list[tuple[int, int]] = []

    class Shown:
        def text(self, text: Text) -> None:
            lines.append(str(text))

        def value(self, done: int, total: int) -> None:
            bars.append((done, total))

        def image(self, _image: Image.Image, _place: int) -> None:
            raise AssertionError("no image was requested")

    async def graph() -> None:
        host.report_to(Shown())
        node = asyncio.create_task(execute(batch_size=2, seed=42))
        later = re.compile(r"0 of 2 · [1-9]\d* s")
        await asyncio.to_thread(until, lambda: any(map(later.fullmatch, list(lines))))
        held.release()
        await node

    asyncio.run(graph())
    assert lines[0] == "0 of 2 · 0 s"
    assert re.fullmatch(r"2 images, 96×64, seed 42, [\d.]+ s", lines[-1].split("\n")[0])
    assert bars[0][1] == 6
    assert bars[-1] == (1, 1)


def test_the_node_says_what_its_results_have_cost_so_far(
    simulator: Simulator, write_settings: Any
) -> None:
    lines: list[str] = []

    class Shown:
        def text(self, text: Text) -> None:
            lines.append(str(text))

        def value(self, done: int, total: int) -> None:
            """Show no bar."""

        def image(self, _image: Image.Image, _place: int) -> None:
            """Show no image."""

    async def graph() -> None:
        host.report_to(Shown())
        await execute(model=QWEN, batch_size=2, seed=42)

    write_settings(max_parallel=1)
    simulator.latency = 0.5
    asyncio.run(graph())
    assert not [line for line in lines if line.startswith("0 of 2") and "¥" in line]
    assert [line for line in lines if re.fullmatch(r"1 of 2 · \d+ s · ¥0\.30", line)]
    assert re.fullmatch(r"2 images, .* s · ¥0\.60", lines[-1].split("\n")[0])


@pytest.mark.usefixtures("simulator")
def test_a_mistake_of_ours_is_shown_as_one_and_not_as_a_cancel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    texts: list[str] = []

    class Shown:
        def text(self, text: Text) -> None:
            texts.append(str(text))

        def value(self, done: int, total: int) -> None:
            """Show no bar."""

        def image(self, _image: Image.Image, _place: int) -> None:
            """Show no image."""

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    async def graph() -> None:
        host.report_to(Shown())
        await execute()

    monkeypatch.setattr(JobHistory, "end", fail)
    with pytest.raises(ZeroDivisionError):
        asyncio.run(graph())
    assert "node pack itself (ZeroDivisionError)" in texts[-1]


@pytest.mark.usefixtures("simulator")
def test_messages_follow_the_language_of_the_settings(run_node: Run, write_settings: Any) -> None:
    write_settings(language="zh")
    with pytest.raises(errors.InvalidInput) as caught:
        run_node(DRAW, model=KOLORS, prompt="")
    assert str(caught.value) == "提示词（prompt）：不能为空。\n请求没有发出，也没有扣费。"


def _png(width: int, height: int) -> bytes:
    file = io.BytesIO()
    tensor_to_pil(torch.rand(height, width, 3)).save(file, "PNG")
    return file.getvalue()
