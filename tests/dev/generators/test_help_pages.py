"""The help pages are generated from prose, strings and catalogue, and they are complete."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.generators.help_pages import (
    PLACEHOLDER,
    PROSE,
    ROOT,
    languages,
    pages,
    prose,
)
from comfyui_siliconflow.dev.generators.page_locales import read_texts
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.strings.text import DEFAULT, Language
from PIL import Image

PAGES = pages()
IN_A_LANGUAGE = [name for name in PAGES if "/" in name]
TASKS = sorted(file.name.removesuffix(f".{DEFAULT}.md") for file in PROSE.glob(f"*.{DEFAULT}.md"))
SHARED = sorted(
    file.name.removesuffix(f".{DEFAULT}.md") for file in PROSE.glob(f"shared/*.{DEFAULT}.md")
)
FACTS = {"inputs", "outputs", "models", "prices"}
LARGEST_IMAGE = 150_000
NARROWEST_IMAGE = 500
LONGEST_WORD = 20
"""Letters that fit beside another column in help, which is some 280 pixels wide."""
SETTINGS = {"en": re.compile(r"\*Settings > ([^*]+)\*"), "zh": re.compile(r"“设置 > ([^”]+)”")}
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def placeholders(name: str, language: Language = DEFAULT) -> list[str]:
    """Return the names of the facts and the shared prose in a prose file."""
    return PLACEHOLDER.findall(prose(name, language))


def headings(name: str, language: Language) -> int:
    return len(re.findall(r"^## ", prose(name, language), re.MULTILINE))


def rows(text: str) -> int:
    return len(re.findall(r"^\|", text, re.MULTILINE))


def quotes(text: str) -> int:
    return len(re.findall(r"(?:^> .*\n)+", text, re.MULTILINE))


def plain(text: str) -> str:
    """Return a page without its markup."""
    return re.sub(r"</?code>|<wbr>|[*`]", "", text)


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_up_to_date(name: str) -> None:
    """If this fails: `python -m comfyui_siliconflow help`."""
    assert (ROOT / name).read_text(encoding="utf-8") == PAGES[name]


def test_every_node_has_a_page_in_each_language_and_one_for_all_others() -> None:
    wanted = {f"{node}/{language}.md" for node in NODE_CLASS_MAPPINGS for language in languages()}
    assert set(PAGES) == wanted | {f"{node}.md" for node in NODE_CLASS_MAPPINGS}


def test_there_is_no_page_without_its_node() -> None:
    written = {str(file.relative_to(ROOT).as_posix()) for file in ROOT.rglob("*.md")}
    assert written == set(PAGES)


@pytest.mark.parametrize("name", IN_A_LANGUAGE)
def test_each_input_and_each_output_is_explained(name: str) -> None:
    node = NODE_CLASS_MAPPINGS[name.partition("/")[0]]
    types = node.INPUT_TYPES()
    for put in (*types["required"], *types.get("optional", {}), *node.RETURN_NAMES):
        row = re.search(
            rf"^\| [^|]*\b{put}<br>[^|]+\| ([^|]+) \|$", plain(PAGES[name]), re.MULTILINE
        )
        assert row, put
        assert len(row.group(1)) > 3


@pytest.mark.parametrize("name", IN_A_LANGUAGE)
def test_each_model_stands_there_with_every_size_that_it_makes(name: str) -> None:
    node = NODE_CLASS_MAPPINGS[name.partition("/")[0]]
    for model in catalogue.load().of_task(node.task):
        known = re.compile(rf"(?:^- |>|, |、){re.escape(model.id)}(?: ·|, |、|$)")
        items = [line for line in plain(PAGES[name]).splitlines() if known.search(line)]
        assert items
        size = model.fields.get("image_size")
        if size and "image_size" in node.INPUT_TYPES()["optional"]:
            assert any(all(choice in line for choice in size.choices) for line in items)


@pytest.mark.parametrize("name", IN_A_LANGUAGE)
def test_nothing_is_left_to_fill_in(name: str) -> None:
    assert PLACEHOLDER.findall(PAGES[name]) == []
    without_choices = re.sub(r"`\{\w+\|\w+\}`", "", PAGES[name])
    assert not re.search(r"\{(?!\")", without_choices)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_says_that_it_is_generated(name: str) -> None:
    assert PAGES[name].startswith("<!-- Generated ")


@pytest.mark.parametrize("name", IN_A_LANGUAGE)
def test_the_image_is_there_and_small(name: str) -> None:
    """It is looked for from `web/docs` on."""
    (link,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGES[name])
    file = ROOT / link
    assert file.stat().st_size < LARGEST_IMAGE
    with Image.open(file) as image:
        assert image.format == "PNG"
        assert image.width >= NARROWEST_IMAGE


def test_every_image_is_a_node_s() -> None:
    nodes = {file.parent.name for file in ROOT.rglob("*.png")}
    assert nodes == set(NODE_CLASS_MAPPINGS)


@pytest.mark.parametrize("name", IN_A_LANGUAGE)
def test_no_word_widens_a_table_beyond_the_column(name: str) -> None:
    for line in PAGES[name].splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 3
            words = re.split(r"<wbr>|<br>|</?code>|[\s、，。；（）：-]", line)
            assert [w for w in words if w.isascii() and len(w) > LONGEST_WORD] == []


def test_every_task_of_a_node_is_listed_and_no_other() -> None:
    assert set(TASKS) == {node.task for node in NODE_CLASS_MAPPINGS.values()}


@pytest.mark.parametrize("language", languages())
@pytest.mark.parametrize("name", [*TASKS, *(f"shared/{name}" for name in SHARED)])
def test_the_prose_has_the_same_structure_in_every_language(name: str, language: str) -> None:
    assert placeholders(name, language) == placeholders(name)
    assert headings(name, language) == headings(name, DEFAULT)
    assert rows(prose(name, language)) == rows(prose(name, DEFAULT))
    assert quotes(prose(name, language)) == quotes(prose(name, DEFAULT))


@pytest.mark.parametrize("name", [*TASKS, *(f"shared/{name}" for name in SHARED)])
def test_the_chinese_prose_is_chinese_and_the_english_is_not(name: str) -> None:
    assert CHINESE.search(prose(name, "zh"))
    assert not CHINESE.search(prose(name, "en"))


@pytest.mark.parametrize("name", [*TASKS, *(f"shared/{name}" for name in SHARED)])
def test_prose_asks_for_nothing_that_does_not_exist(name: str) -> None:
    assert set(placeholders(name)) <= {*FACTS, *SHARED}


@pytest.mark.parametrize("language", SETTINGS)
def test_the_settings_that_prose_names_are_called_so_in_the_page(language: Language) -> None:
    texts = read_texts()[language]
    names = {"SiliconFlow", *(text for text in texts.values() if isinstance(text, str))}
    everything = "".join(PAGES[name] for name in IN_A_LANGUAGE if name.endswith(f"/{language}.md"))
    places = [
        part for found in SETTINGS[language].findall(everything) for part in found.split(" > ")
    ]
    assert len(set(places)) > 3
    assert set(places) <= names


def test_the_examples_that_prose_names_are_there() -> None:
    """English pages put a path in italics, and every name after the first by itself."""
    examples = {file.stem for file in (ROOT.parents[1] / "example_workflows").glob("*.json")}
    everything = "".join(PAGES[name] for name in IN_A_LANGUAGE if name.endswith("/en.md"))
    named = set(re.findall(r"\*Browse Templates > ([^*]+)\*", everything))
    assert named
    assert named <= examples


@pytest.mark.parametrize("name", SHARED)
def test_shared_prose_is_used(name: str) -> None:
    others = [*TASKS, *(f"shared/{other}" for other in SHARED)]
    assert any(name in placeholders(other) for other in others)


@pytest.mark.parametrize("name", TASKS)
def test_the_prose_shows_the_facts_and_what_can_go_wrong(name: str) -> None:
    named = placeholders(name)
    assert {"inputs", "outputs", "key", "trace"} <= set(named)
    assert ("models" in named) == bool(catalogue.load().of_task(name))
    assert {"lookup-errors", "errors", "image-errors", "video-errors"} & set(named)


def test_the_folder_holds_prose_alone() -> None:
    files = {file for file in PROSE.rglob("*") if file.is_file()}
    assert files == {
        Path(PROSE / f"{name}.{language}.md")
        for name in (*TASKS, *(f"shared/{other}" for other in SHARED))
        for language in languages()
    }
