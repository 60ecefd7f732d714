"""Seeds: -1 is another one each run, any other integer is folded, and none refuses a run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.engine.job import with_usable_seed
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS, base
from comfyui_siliconflow.siliconflow.errors import InvalidInput
from hypothesis import given
from hypothesis import strategies as st

DRAW, CHAT = "SiliconFlowTextToImage", "SiliconFlowChat"
VALUES = {"model": "Kwai-Kolors/Kolors", "prompt": "a cat"}
SEEDS = 10**10
Run = Callable[..., tuple[Any, int, dict[str, Any]]]


@given(st.integers().filter(lambda seed: seed != -1))
def test_any_integer_is_folded_into_the_range_of_the_service(seed: int) -> None:
    inputs, notes = with_usable_seed({"seed": seed})
    assert 0 <= inputs["seed"] < SEEDS
    assert (inputs["seed"] - seed) % SEEDS == 0
    assert [str(inputs["seed"]) in str(note) for note in notes] == [True] * (inputs["seed"] != seed)


def test_a_workflow_without_a_seed_gets_none() -> None:
    assert with_usable_seed({"prompt": "a cat"}) == ({"prompt": "a cat"}, [])


@pytest.mark.parametrize("seed", ["x", 1.5, float("nan"), True])
def test_what_is_no_integer_is_refused(seed: Any) -> None:
    with pytest.raises(InvalidInput):
        with_usable_seed({"seed": seed})


def test_a_seed_of_minus_one_is_another_one_each_run_and_info_says_which(
    today: Simulator, run_node: Run
) -> None:
    runs = [run_node(DRAW, **VALUES, seed=-1) for _ in range(2)]
    sent = [record.body["seed"] for record in today.generations]
    assert len(set(sent)) == 2
    assert [seed for _, seed, _ in runs] == sent
    for (_, _, info), seed in zip(runs, sent, strict=True):
        assert info["pictures"][0]["seed"] == seed
        assert info["requests"][0]["origin"] == "paid"
        assert any(str(seed) in note for note in info["notes"])


def test_the_seed_of_a_local_sampler_is_used_and_repeated_for_free(
    today: Simulator, run_node: Run
) -> None:
    for _ in range(2):
        _, used, info = run_node(DRAW, **VALUES, seed=2**64 - 1)
        assert used == (2**64 - 1) % SEEDS
    assert info["requests"][0]["origin"] == "reused"
    assert len(today.generations) == 1


def test_a_chat_draws_another_seed_too(today: Simulator, outputs_of: Callable[..., Any]) -> None:
    inputs = {"model": "Qwen/Qwen3-8B", "prompt": "Hello", "seed": -1}
    for _ in range(2):
        outputs_of(CHAT, **inputs)
    sent = [record.body["seed"] for record in today.requests if record.method == "POST"]
    assert len(set(sent)) == 2


def cache_key(**inputs: Any) -> Any:
    """Return what goes into ComfyUI's cache key; an input from another node is `None`."""
    node: Any = NODE_CLASS_MAPPINGS[DRAW]
    return node.IS_CHANGED(**{"extra_pnginfo": None, **VALUES, **inputs})


def test_the_cache_answers_every_seed_but_minus_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(base, "_ANY_SEED_RUNS", deque())  # those of other tests
    assert cache_key() == cache_key(seed=5) == cache_key(seed=5) == cache_key(seed=None)
    assert cache_key(seed=-1) != cache_key(seed=-1)


def test_a_linked_seed_that_was_minus_one_is_not_answered_by_the_cache(
    today: Simulator, run_node: Run
) -> None:
    del today
    other = {"prompt": "another cat"}
    run_node(DRAW, **VALUES, seed=-1)
    assert cache_key(seed=None) != cache_key(seed=None)
    assert cache_key(seed=None, model=None) != cache_key(seed=None, model=None)
    assert cache_key(seed=None, **other) == cache_key(seed=5)
    run_node(DRAW, **VALUES, seed=6)
    assert cache_key(seed=None) == cache_key(seed=5)


def test_another_node_with_the_same_values_changes_nothing_for_a_seed_of_minus_one(
    today: Simulator, run_node: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    del today
    values = {"prompt": "two cats"}

    def run(node_id: str, seed: int) -> None:
        context = SimpleNamespace(node_id=node_id, prompt_id="", list_index=None)
        monkeypatch.setattr(host, "_executing", lambda: context)
        run_node(DRAW, **{**VALUES, **values}, seed=seed)

    run("1", -1)
    run("2", 5)
    assert cache_key(seed=None, **values) != cache_key(seed=None, **values)
    run("1", 5)
    assert cache_key(seed=None, **values) == cache_key(seed=5)
