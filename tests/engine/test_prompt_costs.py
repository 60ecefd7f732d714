"""All nodes of a prompt are counted before the first of them sends anything."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable
from decimal import Decimal
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import torch
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.comfyui.host import Caller
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine import prompt_costs
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.server import page_saved_results
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.strings.text import SiliconFlowError

DRAW, EDIT = "SiliconFlowTextToImage", "SiliconFlowImageEdit"
MOVE = "SiliconFlowImageToVideo"
QWEN = {"model": "Qwen/Qwen-Image", "image_size": "custom", "width": 64, "height": 64}
Graph = dict[str, dict[str, Any]]
RunPrompt = Callable[..., list[str]]


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def draw(prompt: str, batch_size: int, **inputs: Any) -> dict[str, Any]:
    return node(DRAW, **{**QWEN, "prompt": prompt, "batch_size": batch_size, "seed": 1, **inputs})


def edit(image: list[Any], **inputs: Any) -> dict[str, Any]:
    return node(EDIT, model="Qwen/Qwen-Image-Edit", prompt="blue", image=image, **inputs)


MASKS = {f"masks.mask{number}": ["7", 0] for number in range(5)}
ONE_IMAGE = {"2": node("LoadImage", image="a.png")}
FIVE_MASKS = {
    "3": node("GrowMask", mask=["6", 0]),
    "6": node("BatchMasksNode", **MASKS),
    "7": node("SolidMask"),
}


@pytest.fixture
def run_prompt(
    monkeypatch: pytest.MonkeyPatch, outputs_of: Callable[..., dict[str, Any]]
) -> RunPrompt:
    """Run the nodes of a graph as ComfyUI does, until one is stopped; return who was asked about.

    `frames` are how many images a linked input brings; what is after the last node that `runs`
    waits for results in the background.
    """
    tasks = {name: each.task for name, each in NODE_CLASS_MAPPINGS.items()}
    monkeypatch.setattr(host, "node_task", lambda node_type: tasks.get(node_type, ""))
    monkeypatch.setattr(prompt_costs, "_done", type(prompt_costs._done)())  # noqa: SLF001

    def run(
        graph: Graph,
        *,
        frames: int = 1,
        outputs: list[str] | None = None,
        times: int = 1,
        first_seed: int = 0,
        runs: str = "",
        **queueing: Any,
    ) -> list[str]:
        queueing = {"prompt_id": uuid.uuid4().hex, "queued_at": time.time(), **queueing}
        images = torch.linspace(0, 1, frames).reshape(-1, 1, 1, 1).expand(-1, 16, 16, 3)

        def given(graph: Graph, value: Any) -> Any:
            if not isinstance(value, list):
                return value
            return graph.get(value[0], {"inputs": {}})["inputs"].get("value", images)

        nodes = prompt_costs._needed(graph, outputs or graph)  # noqa: SLF001
        for node_id in (each for each in nodes if graph[each]["class_type"] in tasks):
            caller = Caller(
                graph[node_id]["class_type"],
                node_id,
                graph=graph,
                outputs=outputs or (),
                **queueing,
            )
            monkeypatch.setattr(
                "comfyui_siliconflow.nodes.base.current_caller",
                lambda _, __, caller=caller: caller,
            )
            inputs = {name: given(graph, value) for name, value in graph[node_id]["inputs"].items()}
            try:
                for seed in range(first_seed, first_seed + times):
                    again = {"seed": seed} if times > 1 else {}
                    outputs_of(graph[node_id]["class_type"], **{**inputs, **again})
            except errors.ConfirmationNeeded as error:
                return [node_id, str(error)]
            if node_id == runs:
                break
        return []

    return run


def test_nothing_is_sent_where_the_nodes_of_a_prompt_make_too_much_together(
    today: Simulator, run_prompt: RunPrompt
) -> None:
    graph = {"1": draw("one", 10), "2": draw("two", 10)}
    stopped = run_prompt(graph)
    assert today.generations == []
    assert stopped[0] == "1"
    assert "the 2 SiliconFlow nodes of this workflow generate 20 images together" in stopped[1]
    assert "cost up to ¥6.00" in stopped[1]


def test_the_same_prompt_goes_ahead_as_a_whole_when_it_is_queued_again_with_other_seeds(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=3)
    graph = {"1": draw("one", 2), "2": draw("two", 2)}
    assert run_prompt(graph)
    reseeded = {"1": draw("one", 2, seed=5), "2": draw("two", 2, seed=6)}
    assert run_prompt(reseeded) == []
    assert len(today.generations) == 4
    assert run_prompt({"1": draw("one", 2, seed=100), "2": draw("two", 2, seed=200)})


def test_nothing_is_sent_where_a_prompt_does_not_fit_into_a_budget_as_a_whole(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(daily_budget=1.0)
    with pytest.raises(errors.GuardStopped, match=r"could cost ¥1\.50"):
        run_prompt({"1": draw("one", 2), "2": draw("two", 3)})
    assert today.generations == []
    run_prompt({"1": draw("one", 2), "2": draw("two", 1)})
    assert len(today.generations) == 3


def test_a_budget_that_a_later_node_does_not_fit_into_says_what_was_sent_before(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(daily_budget=1.0)
    graph = {"1": draw("one", 2), "2": edit(["8", 0]), "8": node("LoadVideoOfAnyLength")}
    with pytest.raises(errors.GuardStopped, match=r"more was sent; .* requested 2 results\."):
        run_prompt(graph, frames=2)
    assert len(today.generations) == 2


def test_more_of_the_same_prompt_than_was_asked_about_is_asked_about_anew(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=1)
    graph = {"1": edit(["8", 0]), "8": node("LoadVideoOfAnyLength", file="a.mp4")}
    assert run_prompt(graph, frames=2)
    assert "generates 4 images" in run_prompt(graph, frames=4)[1]
    assert today.generations == []
    assert run_prompt(graph, frames=4) == []
    assert len(today.generations) == 4


def known_late(seed: int) -> Graph:
    return {
        "1": draw("one", 3, seed=seed * 100),
        "2": edit(["8", 0], seed=seed),
        "8": node("Unknown", image=["1", 0]),
    }


@pytest.mark.usefixtures("today")
def test_what_is_known_only_when_another_node_has_run_is_asked_about_once(
    run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=2, auto_run_images=0)
    assert run_prompt(known_late(1), frames=3)[0] == "1"
    stopped = run_prompt(known_late(2), frames=3)
    assert stopped[0] == "2"
    assert "generate 6 images together and cost up to ¥1.80" in stopped[1]
    assert "under way: 3. To be paid now: 3, for up to ¥0.90." in stopped[1]
    assert "Nothing more was sent; this workflow had already requested 3 results." in stopped[1]
    assert run_prompt(known_late(3), frames=3) == []


@pytest.mark.usefixtures("today")
def test_an_answer_to_one_question_is_kept_until_the_other_has_one_too(
    run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=2, auto_run_images=5)
    stops = [run_prompt(known_late(seed), frames=3)[:1] for seed in (1, 2, 3, 3)]
    assert stops == [["1"], ["2"], ["1"], []]


def test_a_node_that_a_list_runs_ever_again_is_asked_about_once(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=2)
    graph = {"1": draw("one", 1)}
    stopped = run_prompt(graph, times=5)
    assert "for each item of a list" in stopped[1]
    assert len(today.generations) == 2
    assert run_prompt(graph, times=5) == []
    assert len(today.generations) == 5


def test_with_new_seeds_a_list_that_runs_a_node_gets_through_as_well(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=2)
    graph = {"1": draw("one", 1)}
    stops = 0
    while run_prompt(graph, times=5, first_seed=stops * 1000):
        stops += 1
    assert stops == 1
    assert len(today.generations) == 7


def test_a_seed_that_a_node_of_its_own_gives_makes_no_other_prompt(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=1)

    def graph(seed: int) -> Graph:
        return {"1": draw("one", 2, seed=["9", 0]), "9": node("PrimitiveInt", value=seed)}

    assert run_prompt(graph(1))
    assert run_prompt(graph(2)) == []
    assert len(today.generations) == 2


@pytest.mark.parametrize(
    "other",
    [
        {"1": draw("one", 10), "2": draw("three", 10)},
        {"1": draw("one", 10), "2": draw("two", 11)},
        {"1": draw("one", 10), "2": draw("two", 10), "3": draw("three", 1)},
    ],
)
def test_another_node_prompt_or_count_is_asked_about_anew(
    today: Simulator, run_prompt: RunPrompt, other: Graph
) -> None:
    assert run_prompt({"1": draw("one", 10), "2": draw("two", 10)})
    assert run_prompt(other)
    assert today.generations == []


def goes_on(parent: str, queued_at: float) -> dict[str, Any]:
    going_on = {"parent": parent, "since": 0.0, "left_out": ["1"]}
    return {"going_on": going_on, "queued_at": queued_at}


def test_what_was_confirmed_is_not_asked_about_again_when_the_prompt_goes_on(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=2)
    graph = {"1": draw("one", 3), "3": edit(["1", 0])}
    assert run_prompt(graph, frames=3)
    first: dict[str, Any] = {"prompt_id": "first", "queued_at": time.time()}
    assert run_prompt(graph, runs="1", **first) == []
    assert len(today.generations) == 3
    asked = run_prompt(graph, frames=5, prompt_id="second", **goes_on(*first.values()))
    assert "generate 8 images together" in asked[1]
    assert "under way: 3. To be paid now: 5, for" in asked[1]
    assert run_prompt(graph, frames=3, prompt_id="third", **goes_on(*first.values())) == []
    assert len(today.generations) == 6


def test_what_a_prompt_paid_before_it_goes_on_counts_with_what_it_makes_then(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=4, auto_run_images=0, daily_budget=100)
    graph = {"1": draw("one", 2), "3": edit(["8", 0]), "8": node("Unknown", image=["1", 0])}
    first: dict[str, Any] = {"prompt_id": "first", "queued_at": time.time()}
    assert run_prompt(graph, runs="1", **first) == []
    assert run_prompt(graph, frames=3, prompt_id="second", **goes_on(*first.values()))[0] == "3"
    assert run_prompt(graph, frames=2, prompt_id="third", **goes_on(*first.values())) == []
    assert len(today.generations) == 4


def test_what_the_ledger_has_of_the_other_nodes_counts_nothing_and_is_told(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    assert run_prompt({"2": draw("two", 2)}) == []
    write_settings(confirm_images=2, auto_run_images=0)
    prompt_costs._done.clear()  # noqa: SLF001 - as after a restart
    stopped = run_prompt({"1": draw("one", 3), "2": draw("two", 2)})
    assert "under way: 2. To be paid now: 3, for up to ¥0.90." in stopped[1]
    prompt_costs._done.clear()  # noqa: SLF001
    assert run_prompt({"1": draw("one", 2), "2": draw("two", 2)}) == []
    assert len(today.generations) == 4


def test_what_was_confirmed_is_not_asked_again_because_a_free_result_is_saved_by_now(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=0, confirm_cost=1.0)
    free = {"1": draw("one", 2, model="Kwai-Kolors/Kolors")}
    graph = {**free, "2": draw("two", 4)}
    assert run_prompt(graph)
    assert run_prompt(free) == []
    prompt_costs._done.clear()  # noqa: SLF001 - as after a restart
    assert run_prompt(graph) == []
    assert len(today.generations) == 2 + 4


def test_frames_that_the_graph_tells_of_count_before_they_are_there(
    today: Simulator, run_prompt: RunPrompt
) -> None:
    graph = {
        "1": draw("one", 2),
        "2": node("ImageScale", image=["1", 0]),
        "3": edit(["2", 0], batch_size=10),
    }
    stopped = run_prompt(graph, frames=20)
    assert stopped[0] == "1"
    assert "generate 22 images" in stopped[1]
    assert today.generations == []


def chain(video: str) -> Graph:
    links = {"1": ["8", 0], "2": ["1", 0], "3": ["2", 0]}
    edits = {each: edit(link, seed=int(each)) for each, link in links.items()}
    return {**edits, "8": node("LoadVideoOfAnyLength", file=video)}


def test_the_frames_that_a_node_is_given_count_for_all_the_nodes_after_it(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=4)
    stopped = run_prompt(chain("a.mp4"), frames=3)
    assert stopped[0] == "1"
    assert "generate 9 images together" in stopped[1]
    assert today.generations == []
    assert run_prompt(chain("a.mp4"), frames=3) == []
    assert len(today.generations) == 9


def test_a_budget_stops_a_chain_of_nodes_before_the_first_of_them_sends(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(daily_budget=2)
    with pytest.raises(errors.GuardStopped, match=r"could cost ¥2\.70"):
        run_prompt(chain("a.mp4"), frames=3)
    assert today.generations == []


def test_an_image_that_a_node_repeats_is_paid_once_and_counted_once_before(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=2, daily_budget=0.65)
    graph = {
        "1": draw("one", 1),
        "2": node("RepeatImageBatch", image=["1", 0], amount=81),
        "3": edit(["2", 0]),
    }
    assert run_prompt(graph) == []
    assert len(today.generations) == 2


@pytest.mark.parametrize(
    ("between", "frames"),
    [
        (node("ImageScale", image=["1", 0]), 2),
        (node("KSampler", latent_image=["1", 0]), 10),
        (edit(["1", 0], batch_size=3), 6),
        (edit(["1", 0], mask=["8", 0]), 10),
        (edit(["1", 0], image2=["1", 0]), 10),
        (node("ImageFromBatch", image=["1", 0], length=1), 1),
    ],
)
def test_what_becomes_of_repeated_images_is_as_many_as_may_differ(
    monkeypatch: pytest.MonkeyPatch, between: dict[str, Any], frames: int
) -> None:
    tasks = {name: each.task for name, each in NODE_CLASS_MAPPINGS.items()}
    monkeypatch.setattr(host, "node_task", lambda node_type: tasks.get(node_type, ""))
    source = {
        "0": node("EmptyImage", batch_size=2),
        "1": node("RepeatImageBatch", image=["0", 0], amount=5),
        "2": between,
    }
    assert prompt_costs._frames(source, ["2", 0], alike_once=True) == frames  # noqa: SLF001


def test_each_frame_of_a_batch_counts_as_a_video_before_the_frames_are_there(
    today: Simulator, run_prompt: RunPrompt
) -> None:
    clips = node(MOVE, model="Wan-AI/Wan2.2-I2V-A14B", prompt="it moves", image=["1", 0])
    stopped = run_prompt({"1": draw("one", 3), "2": clips})
    assert stopped[0] == "1"
    assert "generate 6 results together and cost up to ¥6.90" in stopped[1]
    assert today.requests == []


def test_more_frames_than_were_confirmed_are_asked_about_once_they_are_known(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=2, auto_run_images=0)
    graph = {"1": draw("one", 2), "2": edit(["9", 0])}
    assert run_prompt(graph, frames=5)[0] == "1"
    assert run_prompt(graph, frames=5)[0] == "2"
    assert run_prompt(graph, frames=5) == []
    assert len(today.generations) == 7


def test_a_node_that_has_run_here_and_one_that_is_not_queued_count_nothing(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=5, auto_run_images=0)
    source = {"9": node("LoadImage", image="a.png")}
    assert run_prompt({**source, "2": edit(["9", 0], batch_size=4)}) == []
    graph = {**source, "1": draw("one", 4), "2": edit(["9", 0], batch_size=4)}
    assert run_prompt(graph) == []
    graph = {"1": draw("three", 4), "2": draw("four", 4)}
    assert run_prompt(graph, outputs=["2"]) == []
    assert len(today.generations) == 12


@pytest.mark.parametrize(
    ("source", "frames"),
    [
        ({"1": node("LoadImage", image="a.png")}, 1),
        ({"1": node("EmptyImage", batch_size=6)}, 6),
        ({"1": node("EmptyImage", batch_size=["2", 0]), "2": node("PrimitiveInt", value=7)}, 7),
        ({"1": node("EmptyImage", batch_size=["2", 0]), "2": node("Other", value=7, a=1)}, None),
        ({"1": draw("x", 3)}, 3),
        ({"1": edit(["2", 0], batch_size=2), "2": node("EmptyImage", batch_size=6)}, 12),
        ({"1": edit(["2", 0]), "2": node("LoadVideo")}, None),
        (
            {
                "1": edit(["2", 0], batch_means="references of one edit"),
                "2": node("EmptyImage", batch_size=3),
            },
            1,
        ),
        ({"1": node("EmptyImage", batch_size=["2", 0]), "2": node("INTConstant", value=7)}, 7),
        (
            {
                "1": node("ImageScale", image=["2", 0]),
                "2": node("VAEDecode", samples=["3", 0], vae=["4", 2]),
                "3": node("KSampler", model=["4", 0], latent_image=["5", 0]),
                "5": node("EmptyLatentImage", batch_size=4),
            },
            4,
        ),
        (
            {
                "1": node("ImageFromBatch", image=["2", 0], batch_index=0, length=2),
                "2": node("RepeatImageBatch", image=["3", 0], amount=81),
                "3": node("LoadImage", image="a.png"),
            },
            2,
        ),
        ({"1": node("ImageScale", image=["1", 0])}, None),
        ({"1": node("ImageBatch", image1=["2", 0], image2=["2", 0]), "2": node("LoadImage")}, 2),
        ({"1": node("ImageBatch", image1=["2", 0], image2=["9", 0]), "2": node("LoadImage")}, None),
        (
            {
                "1": node(
                    "BatchImagesNode", **{"images.image0": ["2", 0], "images.image1": ["3", 0]}
                ),
                "2": node("LoadImage"),
                "3": node("EmptyImage", batch_size=3),
            },
            4,
        ),
        ({"1": edit(["2", 0], mask=["3", 0]), **ONE_IMAGE, "3": node("Segments")}, 1),
        ({"1": edit(["2", 0], mask=["3", 0]), **ONE_IMAGE, **FIVE_MASKS}, 5),
    ],
)
def test_the_frames_of_a_link_are_known_where_the_graph_says_so(
    monkeypatch: pytest.MonkeyPatch, source: Graph, frames: int | None
) -> None:
    tasks = {name: each.task for name, each in NODE_CLASS_MAPPINGS.items()}
    monkeypatch.setattr(host, "node_task", lambda node_type: tasks.get(node_type, ""))
    assert prompt_costs._frames(source, ["1", 0]) == frames  # noqa: SLF001


def test_each_mask_of_one_image_is_asked_about_as_a_request(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=5)
    graph = {"1": draw("one", 1), "4": edit(["2", 0], mask=["3", 0])}
    assert "6 images together" in run_prompt({**graph, **ONE_IMAGE, **FIVE_MASKS})[1]
    assert today.generations == []


@pytest.mark.parametrize(
    "odd",
    [
        draw("two", "many"),  # type: ignore[arg-type]
        draw("two", 1, extra_body=5),
        edit(["8", 0], batch_size=None),
        {"class_type": DRAW, "inputs": {}},
    ],
)
def test_a_node_that_cannot_be_planned_keeps_no_other_from_running(
    today: Simulator, run_prompt: RunPrompt, odd: dict[str, Any]
) -> None:
    source = node("RepeatImageBatch", image=["9", 0], amount="x")
    graph = {"1": draw("one", 1), "2": odd, "8": source}
    with contextlib.suppress(TypeError, SiliconFlowError):  # when it is the odd one's turn
        run_prompt(graph)
    assert len(today.generations) == 1


def test_frames_without_number_are_asked_about_in_no_time(
    today: Simulator, run_prompt: RunPrompt
) -> None:
    source = node("EmptyImage", batch_size=1_000_000_000)
    graph = {"1": draw("one", 1), "2": edit(["8", 0]), "8": source}
    assert "1001 images together" in run_prompt(graph)[1]
    assert today.generations == []


@pytest.mark.parametrize("what", ["a seed of -1", "no reuse"])
def test_what_is_made_anew_in_each_run_counts_in_each(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any, what: str
) -> None:
    write_settings(confirm_images=3, auto_run_images=0, reuse=what != "no reuse")
    seed = -1 if what == "a seed of -1" else 1
    graph = {"1": draw("one", 2, seed=seed), "2": draw("two", 2, seed=seed)}
    sent = []
    for _ in range(4):
        run_prompt(graph)
        sent.append(len(today.generations))
    assert sent == [0, 4, 4, 8]


def test_an_edit_of_references_alone_counts_before_they_are_there(
    today: Simulator, run_prompt: RunPrompt
) -> None:
    edit_of_references = node(
        EDIT, model="Qwen/Qwen-Image-Edit", prompt="blue", references=["8", 0], batch_size=10
    )
    graph = {"1": draw("one", 10), "2": edit_of_references, "8": node("LoadImage", image="a.png")}
    assert "20 images together" in run_prompt(graph)[1]
    assert today.generations == []


def test_a_file_that_was_changed_makes_another_prompt(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setattr(host, "input_directory", lambda: tmp_path)
    graph = {"1": node("LoadImage", image="a.png")}
    hashes = set()
    for content in (b"", b"1", b"12"):
        (tmp_path / "a.png").write_bytes(content)
        hashes.add(prompt_costs._hash(graph, ["1"]))  # noqa: SLF001
    assert len(hashes) == 3


@pytest.mark.parametrize("name", ["a.png [input]", "a.png [output]"])
def test_a_file_that_was_changed_makes_another_prompt_in_whichever_folder_it_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any, name: str
) -> None:
    def path_of(annotated: str) -> str:
        return f"{tmp_path}/{annotated.partition(' ')[0]}"

    folders = SimpleNamespace(get_annotated_filepath=path_of)
    monkeypatch.setattr(host, "input_directory", lambda: tmp_path)
    monkeypatch.setattr(host, "module", {"folder_paths": folders}.get)
    assert host.input_file_version(name) is None
    (tmp_path / "a.png").write_bytes(b"12")
    version = host.input_file_version(name)
    assert version is not None
    assert version[1] == 2


def test_what_was_cleared_is_counted_again(
    today: Simulator, run_prompt: RunPrompt, write_settings: Any
) -> None:
    write_settings(confirm_images=5, auto_run_images=0)
    known = {"1": draw("one", 2), "2": draw("two", 2)}
    unknown = {"8": node("LoadVideoOfAnyLength"), "9": edit(["8", 0], batch_size=2)}
    for graph in (known, unknown):
        assert run_prompt(graph) == []
    assert len(today.generations) == 6
    page_saved_results.clear(mock.Mock())
    assert "generate 6 images together" in run_prompt({**known, **unknown})[1]
    assert len(today.generations) == 6


def test_shares_add_up() -> None:
    from comfyui_siliconflow.engine.spending import Share  # noqa: PLC0415

    shares = [Share(1, Decimal("0.3"), 2, 3, ("image",)), Share(2, Decimal(4), 2, 0, ("video",))]
    assert sum(shares, Share()) == Share(3, Decimal("4.3"), 4, 3, ("image", "video"))
