"""Where files are: the pack's data folder, and ComfyUI's input folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .host import module

NAME = "siliconflow"


def data_directory() -> Path:
    """Return the folder of settings, ledger and job history. It need not exist yet.

    `SILICONFLOW_DATA_DIR`, else a folder in ComfyUI's user directory that ComfyUI never serves
    (outside ComfyUI: of the installation whose `custom_nodes` the pack is in), else the
    platform's folder for application data.
    """
    override = os.environ.get("SILICONFLOW_DATA_DIR")
    if override:
        return Path(override).expanduser()
    return _comfyui_directory() or _installation_directory() or _platform_directory()


def input_directory() -> Path | None:
    """Return the folder that Load Image nodes read, or `None` outside ComfyUI."""
    folder_paths = module("folder_paths")
    return Path(folder_paths.get_input_directory()) if folder_paths else None


def _comfyui_directory() -> Path | None:
    folder_paths = module("folder_paths")
    if folder_paths is None:
        return None
    if hasattr(folder_paths, "get_system_user_directory"):
        return Path(folder_paths.get_system_user_directory(NAME))
    return Path(folder_paths.get_user_directory()) / f"__{NAME}"


def _installation_directory() -> Path | None:
    """Return the same folder for a command that is run from ComfyUI's `custom_nodes`."""
    pack = Path(__file__).absolute().parent.parent
    user = pack.parent.parent / "user"
    return user / f"__{NAME}" if pack.parent.name == "custom_nodes" and user.is_dir() else None


def _platform_directory() -> Path:
    home = Path.home()
    by_platform: dict[str, Path] = {
        "win32": Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local"),
        "darwin": home / "Library" / "Application Support",
    }
    default = Path(os.environ.get("XDG_DATA_HOME") or home / ".local" / "share")
    return by_platform.get(sys.platform, default) / "comfyui_siliconflow"
