"""What installers read agrees with itself."""

import re
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import comfyui_siliconflow
import pytest
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.siliconflow.client import VERSION
from comfyui_siliconflow.siliconflow.resources import (
    account,
    chat,
    embeddings,
    images,
    models,
    rerank,
)
from comfyui_siliconflow.siliconflow.resources import (
    audio as speech,
)
from comfyui_siliconflow.storage.settings import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
ENDPOINTS = (
    account.PATH,
    chat.PATH,
    embeddings.PATH,
    images.PATH,
    models.PATH,
    rerank.PATH,
    speech.SPEECH_PATH,
    speech.TRANSCRIPTIONS_PATH,
    speech.UPLOAD_PATH,
    speech.VOICES_PATH,
    speech.DELETIONS_PATH,
)


@pytest.fixture
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_requirements_and_pyproject_agree(pyproject: dict[str, Any]) -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted == pyproject["project"]["dependencies"]


def test_torch_is_never_among_what_a_manager_installs(pyproject: dict[str, Any]) -> None:
    names = {re.split(r"\W", item)[0] for item in pyproject["project"]["dependencies"]}
    assert names == {"requests", "pillow", "numpy"}


def test_the_version_that_the_service_is_told_is_the_pack_s(pyproject: dict[str, Any]) -> None:
    assert pyproject["project"]["version"] == VERSION


def test_every_package_is_installed(pyproject: dict[str, Any]) -> None:
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob("*/**/__init__.py")}
    found = {
        ".".join(("comfyui_siliconflow", *folder.parts))
        for folder in folders
        if folder.parts[0].isidentifier() and folder.parts[0] not in {"tests", "dev"}
    }
    assert set(pyproject["tool"]["setuptools"]["packages"]) == {"comfyui_siliconflow", *found}


def test_the_page_s_files_are_installed(pyproject: dict[str, Any]) -> None:
    """ComfyUI serves them from where the pack says, whether it was cloned or installed."""
    data = pyproject["tool"]["setuptools"]["package-data"]["comfyui_siliconflow"]
    assert f"{comfyui_siliconflow.WEB_DIRECTORY.removeprefix('./')}/**/*" in data


def test_what_is_left_out_of_the_registry_s_archive_is_named_from_the_root() -> None:
    """As in .gitignore: without the slash, `docs/` would leave out the help in `web/docs` too."""
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    assert "/docs/" in lines
    assert all(line.startswith("/") and (ROOT / line.strip("/")).is_dir() for line in lines)


def test_the_registry_finds_what_it_asks_for(pyproject: dict[str, Any]) -> None:
    project, comfy = pyproject["project"], pyproject["tool"]["comfy"]
    assert project["name"] == "siliconflow"
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["license"] == {"file": "LICENSE"}
    assert project["urls"]["Repository"].startswith("https://github.com/")
    assert {"PublisherId", "DisplayName", "Icon", "requires-comfyui"} <= set(comfy)


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_both_readmes_list_every_model_and_every_setting(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for model in catalogue.load().models:
        assert f"| {model.id} |" in text or f"`{model.id}`" in text
    for setting in fields(Settings):
        assert f"| `{setting.name}` |" in text


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_both_readmes_list_every_endpoint_and_every_node(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for path in ENDPOINTS:
        assert re.search(rf"\| `(GET|POST) /{path}` \|", text), path
    for node_id in NODE_CLASS_MAPPINGS:
        assert f"| `{node_id}` |" in text


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md", "CONTRIBUTING.md"])
def test_every_link_inside_the_repository_leads_somewhere(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert all((ROOT / target.partition("#")[0]).exists() for target in targets)
