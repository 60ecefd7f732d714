"""Where the pack's files are, with a ComfyUI and without."""

import sys
from pathlib import Path
from typing import Any

import pytest
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.nodes.model_choices import valid_settings
from comfyui_siliconflow.storage.settings import InvalidSettings, Settings


def test_files_are_where_comfyui_never_serves_them(comfy: Any) -> None:
    assert host.data_directory() == comfy.user / "__siliconflow"


def test_an_older_comfyui_gets_the_same_folder(comfy: Any) -> None:
    del sys.modules["folder_paths"].get_system_user_directory
    assert host.data_directory() == comfy.user / "__siliconflow"


@pytest.mark.usefixtures("comfy")
def test_the_environment_variable_comes_first(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SILICONFLOW_DATA_DIR", str(tmp_path / "mine"))
    assert host.data_directory() == tmp_path / "mine"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows guesses where the folder would be")
def test_a_folder_below_the_home_of_an_unknown_user_is_named_and_nodes_still_load(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SILICONFLOW_DATA_DIR", "~no-such-user/data")
    with pytest.raises(InvalidSettings, match="SILICONFLOW_DATA_DIR is ~no-such-user/data"):
        host.data_directory()
    assert valid_settings() == Settings()


@pytest.mark.parametrize(
    ("platform", "folder"),
    [
        ("linux", ".local/share"),
        ("darwin", "Library/Application Support"),
        ("win32", "AppData/Local"),
    ],
)
def test_outside_comfyui_files_are_in_the_platform_s_data_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, platform: str, folder: str
) -> None:
    for name in ("SILICONFLOW_DATA_DIR", "XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert host.data_directory() == tmp_path / folder / "comfyui_siliconflow"


def test_a_command_before_comfyui_s_first_start_uses_the_folder_that_comfyui_will_use(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SILICONFLOW_DATA_DIR", raising=False)
    file = tmp_path / "custom_nodes" / "comfyui_siliconflow" / "comfyui" / "host.py"
    monkeypatch.setattr(host, "__file__", str(file))
    assert host.data_directory() == tmp_path / "user" / "__siliconflow"


def test_outside_comfyui_there_is_no_input_folder() -> None:
    assert host.input_directory() is None
