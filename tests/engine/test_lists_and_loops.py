"""Nodes that run many times in one prompt, and prompts that are queued ever again."""

from __future__ import annotations

import asyncio
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

    def call_as(graph: Graph, node_id: str, prompt_id: str) -> None:
        caller = Caller("", node_id, prompt_id=prompt_id, graph=graph, outputs=[*graph])
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
    today: Simulator, called: Called
) -> None:
    graph = {"1": node(DRAW, **IMAGE, seed=["2", 0]), "2": node("ListOfAnyLength")}
    for first_seed in (0, 1000):
        called(graph, "1", uuid.uuid4().hex)
        outcomes = asyncio.run(run_list(range(first_seed, first_seed + 41)))
        if first_seed == 0:
            assert all(isinstance(each, errors.ConfirmationNeeded) for each in outcomes)
            assert "generates 41 images" in str(outcomes[0])
            assert today.generations == []
    assert len(today.generations) == 41


def test_a_list_with_other_seeds_is_an_auto_run_as_a_whole(
    today: Simulator, called: Called, write_settings: Any
) -> None:
    write_settings(auto_run_images=10)
    graph = {"1": node(DRAW, **IMAGE, seed=["2", 0]), "2": node("ListOfAnyLength")}
    sent = []
    for first_seed in (0, 100, 200, 200):
        called(graph, "1", uuid.uuid4().hex)
        outcomes = asyncio.run(run_list(range(first_seed, first_seed + 7)))
        sent.append(len(today.generations))
        if sent == [7, 7]:
            assert "generates 7 more for up to ¥2.10" in str(outcomes[0])
    assert sent == [7, 7, 7, 14]


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
    write_settings(auto_run_images=0)
    graph = {"1": node(DRAW, **IMAGE)}
    finished = []
    for times in range(2):
        prompt_id = uuid.uuid4().hex
        for turn in range(25):
            called(graph, f"9.0.{turn}.1", prompt_id)
            if stops(DRAW, **IMAGE, seed=turn + 100 * times * new_seeds):
                finished.append(turn)
                break
    assert finished == [16]
    assert len(today.generations) == (16 + 25 if new_seeds else 25)


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


def test_runs_at_the_same_time_are_one_auto_run(today: Simulator, write_settings: Any) -> None:
    write_settings(auto_run_images=3)

    async def run_all() -> list[Any]:
        draw = NODE_CLASS_MAPPINGS[DRAW]()
        runs = (draw.execute(**IMAGE, seed=seed) for seed in range(8))
        return await asyncio.gather(*runs, return_exceptions=True)

    outcomes = asyncio.run(run_all())
    assert sum(isinstance(each, errors.GuardStopped) for each in outcomes) == 5
    assert len(today.generations) == 3
