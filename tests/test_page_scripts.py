"""The page's scripts: their own tests run in Node, where there is one."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
NODE = shutil.which("node")


@pytest.mark.skipif(
    NODE is None, reason="no Node.js here, which runs the tests of the page's scripts"
)
def test_the_tests_of_the_scripts_pass() -> None:
    files = sorted(str(file) for file in (ROOT / "tests" / "web").glob("*.test.mjs"))
    assert files
    ended = subprocess.run(
        [str(NODE), "--test", *files], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout
