"""The first minute without a key: what the README says to type shows the nodes in ComfyUI."""

from __future__ import annotations

import os
import re
import secrets
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import requests
from comfyui_siliconflow.tests.host.browser.conftest import LANGUAGES
from comfyui_siliconflow.tests.host.browser.page import Page
from comfyui_siliconflow.tests.host.browser.words import words
from comfyui_siliconflow.tests.host.comfy import ROOT, Comfy

if TYPE_CHECKING:
    from playwright.sync_api import Locator

FOLDER = "ComfyUI-SiliconFlow-Nodes"
COMMAND = re.compile(rf"^ +python -m ({FOLDER} simulator .*)$", re.MULTILINE)
ANY_PORT = ("--port", "0")
"""Added to the command: another simulator may listen on the README's port."""
READMES = {"en": "README.md", "zh": "README.zh-CN.md"}


@dataclass
class Started:
    """A simulator as the README starts it, by what it printed."""

    printed: str

    @property
    def variables(self) -> dict[str, str]:
        """Return what to set before ComfyUI starts."""
        (line,) = re.findall(r"^ *export (.*)$", self.printed, re.MULTILINE)
        return dict(word.split("=", 1) for word in shlex.split(line))

    @property
    def commands(self) -> list[list[str]]:
        """Return the words of the commands that set a fault and clear it."""
        return [
            shlex.split(line) for line in re.findall(r"^ *(curl .*)$", self.printed, re.MULTILINE)
        ]

    def send(self, command: list[str]) -> None:
        """Send what curl would."""
        _, _, body, url = command
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = requests.post(url, data=body, headers=form, timeout=20)
        assert answer.status_code == 200, answer.text


def read_command(readme: str) -> list[str]:
    """Return the words of the README's one command after `python -m`."""
    (command,) = COMMAND.findall((ROOT / readme).read_text(encoding="utf-8"))
    return shlex.split(command)


def read_until_started(process: subprocess.Popen[str]) -> str:
    """Return what it prints before it waits for requests."""
    assert process.stdout
    lines: list[str] = []
    for line in process.stdout:
        lines.append(line)
        if "trace id" in line:
            break
    return "".join(lines)


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Started]:
    """Type the README's command in a custom_nodes folder."""
    folder = tmp_path_factory.mktemp("custom_nodes")
    (folder / FOLDER).symlink_to(ROOT, target_is_directory=True)
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(
        [sys.executable, "-m", *read_command("README.md"), *ANY_PORT],
        cwd=folder,
        env=own,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
    )
    try:
        yield Started(read_until_started(process))
    finally:
        process.terminate()
        process.communicate()


@pytest.fixture(scope="module")
def newcomer(simulator: Started, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Comfy]:
    """Start ComfyUI with what the simulator said to set, and nothing else."""
    with Comfy(tmp_path_factory.mktemp("newcomer"), pack=FOLDER) as comfy:
        (comfy.folder / "user" / "__siliconflow" / "settings.json").unlink()
        comfy.start(simulator.variables)
        yield comfy


def card(page: Page) -> Locator:
    return page.page.locator(".sf-failure")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_readmes_one_command_shows_the_nodes_and_how_they_fail(  # noqa: PLR0917
    open_page: Callable[..., Page],
    newcomer: Comfy,
    simulator: Started,
    load: Callable[[str], dict[str, Any]],
    look: str,
    language: str,
    shots: Path,
) -> None:
    assert read_command(READMES[language]) == read_command("README.md")
    page = open_page(look, language, on=newcomer)
    page.load(load("Text to image"))
    assert page.run().status == "success"
    assert page.page.locator("dialog.sf-dialog").count() == 0, "a key was asked for"
    page.fit()
    page.shot(shots / f"first-minute-{look}-{language}.png")

    fail, clear = simulator.commands
    (node,) = page.ids("SiliconFlowTextToImage")
    page.change(node, "seed", secrets.randbelow(10**9))
    page.change(node, "control_after_generate", "fixed")
    simulator.send(fail)
    assert page.run().status == "error"
    assert words("error.InsufficientBalance.what", language) in card(page).inner_text()
    page.shot(shots / f"first-fault-{look}-{language}.png")
    simulator.send(fail)
    simulator.send(clear)
    assert page.run().status == "success"
    assert card(page).count() == 0
