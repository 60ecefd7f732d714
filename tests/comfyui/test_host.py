"""Cancel, language and list outputs, with a ComfyUI and without."""

import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from comfyui_siliconflow.comfyui import host


def test_a_cancel_is_raised_as_comfyui_s_own_exception(comfy: Any) -> None:
    host.raise_if_cancelled()
    comfy.interrupted = True
    with pytest.raises(comfy.interruption):
        host.raise_if_cancelled()
    assert comfy.interrupted


def test_outside_comfyui_nothing_is_cancelled() -> None:
    host.raise_if_cancelled()


def test_the_language_is_the_one_of_comfyui_s_page(comfy: Any) -> None:
    assert host.language("") == "en"
    file = comfy.user / "default" / "comfy.settings.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"Comfy.Locale": "zh"}))
    assert host.language("") == "zh"
    assert host.language("en") == "en"


@pytest.mark.parametrize(
    ("lang", "language"), [("zh_CN.UTF-8", "zh"), ("de_DE", "en"), ("C", "en")]
)
def test_outside_comfyui_the_language_is_the_system_s(
    monkeypatch: pytest.MonkeyPatch, lang: str, language: str
) -> None:
    monkeypatch.setenv("LANG", lang)
    assert host.language("") == language


@pytest.mark.usefixtures("comfy")
def test_an_empty_list_blocks_connected_nodes_and_is_no_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("comfy_execution.graph_utils")
    vars(module)["ExecutionBlocker"] = lambda message: SimpleNamespace(message=message)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    [blocker] = host.list_output([])
    assert blocker.message is None
    assert host.list_output(("a", "b")) == ["a", "b"]


def test_outside_comfyui_an_empty_list_is_empty() -> None:
    assert host.list_output([]) == []
