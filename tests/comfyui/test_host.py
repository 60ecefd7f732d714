"""What the pack takes from ComfyUI, and how it does without."""

import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, ClassVar

import pytest
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.strings.text import Text


class Interrupted(BaseException):
    """Stands for ComfyUI's own exception."""


class Bar:
    """Stands for ComfyUI's ProgressBar."""

    made: ClassVar[list[Any]] = []

    def __init__(self, _total: int, node_id: str | None = None) -> None:
        self.node_id = node_id
        self.seen: list[tuple[int, int]] = []
        Bar.made.append(self)

    def update_absolute(self, value: int, total: int) -> None:
        self.seen.append((value, total))


@pytest.fixture
def comfy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Put modules of ComfyUI's names and shapes where the pack looks for them."""
    sent: list[tuple[str, str]] = []
    state = SimpleNamespace(interrupted=False, sent=sent, user=tmp_path / "user")
    server = SimpleNamespace(send_progress_text=lambda text, node: sent.append((text, node)))
    modules: dict[str, dict[str, Any]] = {
        "comfy.utils": {"ProgressBar": Bar},
        "comfy.model_management": {
            "processing_interrupted": lambda: state.interrupted,
            "InterruptProcessingException": Interrupted,
        },
        "comfy_execution.utils": {"get_executing_context": lambda: SimpleNamespace(node_id="7")},
        "server": {"PromptServer": SimpleNamespace(instance=server)},
        "folder_paths": {
            "get_user_directory": lambda: str(state.user),
            "get_system_user_directory": lambda name: str(state.user / f"__{name}"),
        },
    }
    for name, contents in modules.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delenv("SILICONFLOW_DATA_DIR")
    return state


def test_progress_goes_to_the_node_that_is_running(comfy: Any) -> None:
    shown = host.progress()
    shown.text(Text("three", "三"))
    shown.value(1, 3)
    assert comfy.sent == [("three", "7")]
    assert (Bar.made[-1].node_id, Bar.made[-1].seen) == ("7", [(1, 3)])


def test_a_cancel_is_raised_as_comfyui_s_own_exception(comfy: Any) -> None:
    host.stop_if_cancelled()
    comfy.interrupted = True
    with pytest.raises(Interrupted):
        host.stop_if_cancelled()
    assert comfy.interrupted


def test_files_live_where_comfyui_never_serves_them(comfy: Any) -> None:
    assert host.data_directory() == comfy.user / "__siliconflow"


def test_an_older_comfyui_gets_the_same_folder(comfy: Any) -> None:
    del sys.modules["folder_paths"].get_system_user_directory
    assert host.data_directory() == comfy.user / "__siliconflow"


def test_the_language_is_the_one_of_comfyui_s_page(comfy: Any) -> None:
    assert host.language("") == "en"
    file = comfy.user / "default" / "comfy.settings.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"Comfy.Locale": "zh"}))
    assert host.language("") == "zh"
    assert host.language("en") == "en"


@pytest.mark.usefixtures("comfy")
def test_the_environment_chooses_the_folder_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SILICONFLOW_DATA_DIR", str(tmp_path / "mine"))
    assert host.data_directory() == tmp_path / "mine"


@pytest.mark.usefixtures("comfy")
def test_an_empty_list_stops_what_is_connected_with_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = ModuleType("comfy_execution.graph_utils")
    vars(module)["ExecutionBlocker"] = lambda message: SimpleNamespace(message=message)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    [blocker] = host.list_output([], Text("Nothing there", "没有"))
    assert blocker.message == "Nothing there"
    assert host.list_output(("a", "b"), Text("Nothing there", "没有")) == ["a", "b"]


def test_outside_comfyui_an_empty_list_is_empty() -> None:
    assert host.list_output([], Text("Nothing there", "没有")) == []


@pytest.mark.parametrize(
    ("platform", "folder"),
    [
        ("linux", ".local/share"),
        ("darwin", "Library/Application Support"),
        ("win32", "AppData/Local"),
    ],
)
def test_outside_comfyui_files_live_in_the_platform_s_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, folder: str
) -> None:
    for name in ("SILICONFLOW_DATA_DIR", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert host.data_directory() == tmp_path / folder / "comfyui_siliconflow"


@pytest.mark.parametrize(
    ("lang", "language"), [("zh_CN.UTF-8", "zh"), ("de_DE", "en"), ("C", "en")]
)
def test_outside_comfyui_the_language_is_the_system_s(
    monkeypatch: pytest.MonkeyPatch, lang: str, language: str
) -> None:
    monkeypatch.setenv("LANG", lang)
    assert host.language("") == language


def test_outside_comfyui_nothing_is_cancelled_and_progress_is_silent() -> None:
    host.stop_if_cancelled()
    host.progress().text(Text("a", "b"))
    host.progress().value(1, 2)
