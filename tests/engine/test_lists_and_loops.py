"""Nodes that run many times in one prompt, and prompts that are queued ever again."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import torch
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.comfyui.host import Caller
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import errors

DRAW, EDIT, CHAT = "SiliconFlowTextToImage", "SiliconFlowImageEdit", "SiliconFlowChat"
IMAGE = {"prompt": "a cat", "image_size": "custom", "width": 64, "height": 64}
IMAGE = {"model": "Qwen/Qwen-Image", **IMAGE}
Graph = dict[str, dict[str, Any]]
Called = Callable[..., None]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> Called:
    """Let ComfyUI call the next nodes as one of a prompt."""
    tasks = {name: each.task for name, each in NODE_CLASS_MAPPINGS.items()}
    monkeypatch.setattr(host, "node_task", lambda node_type: tasks.get(node_type, ""))

    times: dict[str, float] = {}

    def call_as(graph: Graph, node_id: str, prompt_id: str, *, is_another: bool = False) -> None:
        if is_another or prompt_id not in times:
            times[prompt_id] = time.time()
        caller = Caller(
            graph.get(node_id, {}).get("class_type", ""),
            node_id,
            prompt_id=prompt_id,
            queued_at=times[prompt_id],
            graph=graph,
            outputs=[*graph],
        )
        monkeypatch.setattr("comfyui_siliconflow.nodes.base.current_caller", lambda *_: caller)

    return call_as


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def stops(node_type: str, **inputs: Any) -> bool:
    """Run a node; return whether it was stopped."""
    try:
        asyncio.run(NODE_CLASS_MAPPINGS[node_type]().execute(**inputs))
    except errors.GuardStopped:
        return True
    return False


async def run_list(seeds: range) -> list[Any]:
    """Run a node for each item of a list as ComfyUI does."""
    tasks = []
    for seed in seeds:
        run = NODE_CLASS_MAPPINGS[DRAW]().execute(**IMAGE, seed=seed)
        tasks.append(asyncio.create_task(run))
        await asyncio.sleep(0)
    return await asyncio.gather(*tasks, return_exceptions=True)


def test_a_list_is_asked_about_as_a_whole_before_any_of_it_is_sent(
    today: Simulator, called: Called, write_settings: Any
) -> None:
    write_settings(confirm_images=3)
    graph = {"1": node(DRAW, **IMAGE, seed=["2", 0]), "2": node("ListOfAnyLength")}
    for first_seed in (0, 1000):
        called(graph, "1", uuid.uuid4().hex)
        outcomes = asyncio.run(run_list(range(first_seed, first_seed + 5)))
        if first_seed == 0:
            assert all(isinstance(each, errors.ConfirmationNeeded) for each in outcomes)
            assert "generates 5 images" in str(outcomes[0])
            assert today.generations == []
    assert len(today.generations) == 5


def test_a_list_with_other_seeds_is_an_auto_run_as_a_whole(
    today: Simulator, called: Called, write_settings: Any
) -> None:
    write_settings(auto_run_images=5)
    graph = {"1": node(DRAW, **IMAGE, seed=["2", 0]), "2": node("ListOfAnyLength")}
    sent = []
    for first_seed in (0, 100, 200, 200):
        called(graph, "1", uuid.uuid4().hex)
        outcomes = asyncio.run(run_list(range(first_seed, first_seed + 3)))
        sent.append(len(today.generations))
        if sent == [3, 3]:
            assert "generates 3 more for up to ¥0.90" in str(outcomes[0])
    assert sent == [3, 3, 3, 6]


def test_what_is_asked_for_again_with_the_same_seeds_is_no_auto_run(
    today: Simulator, called: Called, write_settings: Any
) -> None:
    write_settings(auto_run_images=2)
    edit = {"model": "Qwen/Qwen-Image-Edit", "prompt": "blue"}
    graph = {"1": node(EDIT, **edit, image=["2", 0]), "2": node("LoadVideoOfAnyLength")}
    frames = torch.linspace(0, 1, 6).reshape(-1, 1, 1, 1).expand(-1, 16, 16, 3)
    stopped = []
    for count, seed in ((2, 1), (3, 1), (1, 2)):
        called(graph, "1", uuid.uuid4().hex)
        stopped.append(stops(EDIT, **edit, image=frames[:count], seed=seed))
    assert stopped == [False, False, True]
    assert len(today.generations) == 3


def test_a_list_that_does_not_fit_into_a_budget_is_not_begun(
    today: Simulator, called: Called, write_settings: Any
) -> None:
    write_settings(daily_budget=1.0)
    graph = {"1": node(DRAW, **IMAGE, seed=["2", 0]), "2": node("ListOfAnyLength")}
    for count, sent in ((4, 0), (3, 3)):
        called(graph, "1", uuid.uuid4().hex)
        outcomes = asyncio.run(run_list(range(count)))
        assert len(today.generations) == sent
        if not sent:
            assert all("could cost ¥1.20" in str(each) for each in outcomes)


@pytest.mark.parametrize("new_seeds", [False, True])
def test_a_loop_is_asked_about_once(
    today: Simulator, called: Called, write_settings: Any, *, new_seeds: bool
) -> None:
    write_settings(confirm_images=2, auto_run_images=0)
    graph = {"1": node(DRAW, **IMAGE)}
    finished = []
    for times in range(2):
        prompt_id = uuid.uuid4().hex
        for turn in range(5):
            called(graph, f"9.0.{turn}.1", prompt_id)
            if stops(DRAW, **IMAGE, seed=turn + 100 * times * new_seeds):
                finished.append(turn)
                break
    assert finished == [2]
    assert len(today.generations) == (2 + 5 if new_seeds else 5)


@pytest.mark.parametrize("source", ["KSampler", CHAT])
def test_a_seed_anywhere_before_a_paid_node_makes_an_auto_run(
    today: Simulator, called: Called, write_settings: Any, source: str
) -> None:
    write_settings(auto_run_images=3)
    stopped = []
    for seed in range(5):
        graph = {"1": node(EDIT, image=["2", 0], prompt="blue", seed=1), "2": node("VAEDecode")}
        graph["2"]["inputs"]["samples"] = ["3", 0]
        graph["3"] = node(source, seed=seed, model="Qwen/Qwen3-8B", prompt="a cat")
        called(graph, "1", uuid.uuid4().hex)
        image = torch.full((1, 16, 16, 3), seed / 10)
        inputs = {"model": "Qwen/Qwen-Image-Edit", "prompt": "blue", "image": image, "seed": 1}
        stopped.append(stops(EDIT, **inputs))
    assert stopped == [False, False, False, True, True]
    assert len(today.generations) == 3


def test_an_auto_run_of_several_nodes_is_counted_as_a_whole_and_asked_about_once(
    today: Simulator, called: Called, write_settings: Any
) -> None:
    write_settings(auto_run_images=6)
    nodes = {"1": CHAT, "2": DRAW, "3": DRAW}
    inputs = {each: {**IMAGE, "prompt": each, "batch_size": 2} for each in nodes}
    inputs["1"] = {"model": "Pro/zai-org/GLM-5.1", "prompt": "a cat", "max_tokens": 10}

    def queue(seed: int) -> list[str]:
        """Return what the nodes say that are stopped; the first one ends the prompt."""
        prompt_id = uuid.uuid4().hex
        graph = {each: node(nodes[each], **inputs[each], seed=seed) for each in nodes}
        for each in nodes:
            called(graph, each, prompt_id)
            try:
                asyncio.run(NODE_CLASS_MAPPINGS[nodes[each]]().execute(**inputs[each], seed=seed))
            except errors.ConfirmationNeeded as error:
                return [each, str(error)]
        return []

    assert queue(100) == []
    assert len(today.generations) == 4
    stopped, message = queue(200)
    assert stopped == "2"
    assert "4 results were generated" in message
    assert "this run generates 4 more for up to ¥1.20" in message
    assert "(SiliconFlowTextToImage 2, Qwen/Qwen-Image)" in message
    assert "set seed to 200 (SiliconFlowTextToImage 2)" in message
    assert queue(200) == []
    assert len(today.generations) == 8


def test_an_auto_run_with_a_seed_of_minus_one_is_confirmed_with_the_seed_that_it_names(
    today: Simulator, called: Called, write_settings: Any
) -> None:
    write_settings(auto_run_images=1)
    stopped: list[str] = []
    for seed in (-1, -1, None):
        used = int(stopped[-1].partition("set seed to ")[2].split()[0]) if seed is None else seed
        called({"1": node(DRAW, **IMAGE, seed=used)}, "1", uuid.uuid4().hex)
        try:
            asyncio.run(NODE_CLASS_MAPPINGS[DRAW]().execute(**IMAGE, seed=used))
        except errors.ConfirmationNeeded as error:
            stopped.append(str(error))
    assert len(stopped) == 1
    assert len(today.generations) == 2


def test_a_prompt_with_the_id_of_an_earlier_one_is_another_prompt(
    today: Simulator, called: Called, write_settings: Any
) -> None:
    write_settings(confirm_images=1)
    inputs = {**IMAGE, "batch_size": 2, "seed": 1}
    stopped = []
    for _ in range(2):
        called({"1": node(DRAW, **inputs)}, "1", "mine", is_another=True)
        stopped.append(stops(DRAW, **inputs))
    assert stopped == [True, False]
    assert len(today.generations) == 2


def test_runs_at_the_same_time_are_one_auto_run(today: Simulator, write_settings: Any) -> None:
    write_settings(auto_run_images=3)

    async def run_all() -> list[Any]:
        draw = NODE_CLASS_MAPPINGS[DRAW]()
        runs = (draw.execute(**IMAGE, seed=seed) for seed in range(8))
        return await asyncio.gather(*runs, return_exceptions=True)

    outcomes = asyncio.run(run_all())
    assert sum(isinstance(each, errors.GuardStopped) for each in outcomes) == 5
    assert len(today.generations) == 3
