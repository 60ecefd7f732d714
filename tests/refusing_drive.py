"""A folder that a process sees as a drive that refuses something: see `refusing_drive.c`."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_suffix(".c")


def compile_library(folder: Path) -> Path:
    """Compile the library into a folder; skip the test where it cannot be."""
    compiler = shutil.which("cc")
    if not sys.platform.startswith("linux") or compiler is None:
        pytest.skip("needs Linux and a C compiler")
    library = folder / "refusing_drive.so"
    command = [compiler, "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl"]
    subprocess.run(command, check=True)
    return library


def variables(library: Path, drive: Path, refusals: Mapping[str, int]) -> dict[str, str]:
    """Return the environment of a process for which `drive` refuses."""
    numbers = {name: str(number) for name, number in refusals.items()}
    return {"LD_PRELOAD": str(library), "REFUSING_FOLDER": str(drive), **numbers}
