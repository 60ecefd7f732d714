"""Changes the settings file: all of a change or nothing, and only what is good to be read again."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..siliconflow.errors import InvalidSettings
from ..strings.text import Text
from . import atomic_files as files
from .settings import FILE_NAME, Settings, checked, read

_LOCK = threading.Lock()


def save(directory: Path, environ: Mapping[str, str], changes: Mapping[str, Any]) -> Settings:
    """Write these settings beside those that the file holds already, and give what holds now.

    `None` takes a setting out of the file. Raises `InvalidSettings`, and leaves the file as it
    was, if any setting would have no usable value, or the file cannot be read or written.
    """
    with _LOCK:
        values = {**read(directory), **changes}
        values = {name: value for name, value in values.items() if value is not None}
        settings = checked(values, environ)
        write_json(directory / FILE_NAME, values, private=True)
    return settings


def write_json(file: Path, content: Any, *, private: bool = False) -> None:
    """Write a file of the data folder; raises `InvalidSettings` where that cannot be."""
    text = json.dumps(content, ensure_ascii=False, indent=2) + "\n"
    try:
        files.write(file, text.encode(), private=private)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InvalidSettings(
            Text(f"{file} cannot be written: {reason}.", f"无法写入 {file}：{reason}。")
        ) from None
