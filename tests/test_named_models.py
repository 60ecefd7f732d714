"""What a user reads names models that live: a retired one only with the day on which it went."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from comfyui_siliconflow.siliconflow import catalogue

ROOT = Path(__file__).parent.parent
MODELS = catalogue.load().models
LIVING = {name for model in MODELS if not model.is_retired for name in (model.id, model.name)}
RETIRED = {
    name: str(model.retired or model.retired_by)
    for model in MODELS
    if model.is_retired
    for name in (model.name, model.id.rpartition("/")[2], model.id)
    if name not in LIVING
}
"""The day on which a model went, by each of its names; without those that the other site has."""
MAKERS = {model.id.rpartition("/")[0] for model in MODELS}
TEXTS = [
    *ROOT.glob("README*.md"),
    *ROOT.glob("docs/*.md"),
    *ROOT.glob("dev/*.py"),
    *ROOT.glob("dev/generators/help/**/*.md"),
    *ROOT.glob("example_workflows/*.json"),
    *ROOT.glob("nodes/*.py"),
    *ROOT.glob("strings/*.json"),
    *ROOT.glob("web/docs/**/*.md"),
]


def any_of(names: set[str]) -> str:
    return "|".join(sorted(map(re.escape, names), key=len, reverse=True))


NAME = re.compile(rf"(?<![\w./-])(?:{any_of(set(RETIRED))})(?![\w-]|\.\d)")
ID = re.compile(rf"(?<![\w./:-])(?:{any_of(MAKERS)})/[\w.-]*\w")


def undated(line: str) -> list[str]:
    """Return the retired models that a line names without the day on which they went."""
    return [name for name in NAME.findall(line) if RETIRED[name] not in line]


def unknown(line: str) -> list[str]:
    """Return the ids in a line that the catalogue does not have."""
    return [name for name in ID.findall(line) if name not in LIVING and name not in RETIRED]


@pytest.mark.parametrize("file", TEXTS, ids=[str(file.relative_to(ROOT)) for file in TEXTS])
def test_a_text_names_retired_models_only_with_their_day_and_no_unknown_ones(file: Path) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    assert [name for line in lines for name in undated(line)] == []
    assert [name for line in lines for name in unknown(line)] == []


def test_every_folder_of_texts_is_looked_into() -> None:
    parts = {file.relative_to(ROOT).parts[0] for file in TEXTS}
    folders = {"docs", "dev", "example_workflows", "nodes", "strings", "web"}
    assert parts == {"README.md", "README.zh-CN.md", *folders}


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("use `stabilityai/stable-diffusion-2-1` here", ["stabilityai/stable-diffusion-2-1"]),
        ("- stable-diffusion-2-1 went on 2025-03-06", []),
        ("SDXL, or a model like it", ["SDXL"]),
        ('"model": "Qwen/Qwen2-7B-Instruct"', ["Qwen/Qwen2-7B-Instruct"]),
        ("Qwen/Qwen2.5-7B-Instruct and black-forest-labs/FLUX.1-dev", []),
    ],
)
def test_a_retired_model_is_found_by_each_of_its_names(line: str, names: list[str]) -> None:
    assert undated(line) == names


def test_an_id_that_no_catalogue_has_is_found() -> None:
    assert unknown("try Qwen/Qwen-Imagine, or Qwen/Qwen-Image.") == ["Qwen/Qwen-Imagine"]
