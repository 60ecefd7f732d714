"""ComfyUI's help pages are those that prose, nodes and catalogue make, and they are whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from comfyui_siliconflow.dev.generators.help_pages import HOLE, PROSE, ROOT, pages, prose
from comfyui_siliconflow.dev.generators.page_locales import read_texts
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.strings.text import LANGUAGES, Language
from PIL import Image

PAGES = pages()
IN_A_LANGUAGE = [name for name in PAGES if "/" in name]
TASKS = sorted(file.name.removesuffix(".en.md") for file in PROSE.glob("*.en.md"))
SHARED = sorted(file.name.removesuffix(".en.md") for file in PROSE.glob("shared/*.en.md"))
FACTS = {"inputs", "outputs", "models"}
LARGEST_PICTURE = 150_000
NARROWEST_PICTURE = 500
LONGEST_WORD = 20
"""Letters that fit beside another column in help, which is some 280 pixels wide."""
SETTINGS = {"en": re.compile(r"\*Settings > ([^*]+)\*"), "zh": re.compile(r"“设置 > ([^”]+)”")}
CHINESE = re.compile(r"[\u4e00-\u9fff]")


def holes(name: str, language: Language) -> list[str]:
    """Name the facts and the shared prose that a text has."""
    return HOLE.findall(prose(name, language))


def headings(name: str, language: Language) -> int:
    return len(re.findall(r"^## ", prose(name, language), re.MULTILINE))


def rows(text: str) -> int:
    return len(re.findall(r"^\|", text, re.MULTILINE))


def quotes(text: str) -> int:
    return len(re.findall(r"(?:^> .*\n)+", text, re.MULTILINE))


def plain(text: str) -> str:
    """Give a page as it reads."""
    return re.sub(r"</?code>|<wbr>|[*`]", "", text)


@pytest.mark.parametrize("name", PAGES)
def test_the_committed_page_is_up_to_date(name: str) -> None:
    """If this fails: `python -m comfyui_siliconflow help`."""
    assert (ROOT / name).read_text(encoding="utf-8") == PAGES[name]


def test_every_node_has_a_page_in_each_language_and_one_for_all_others() -> None:
    wanted = {f"{node}/{language}.md" for node in NODE_CLASS_MAPPINGS for language in LANGUAGES}
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
        found = [line for line in plain(PAGES[name]).splitlines() if known.search(line)]
        assert found
        size = model.fields.get("image_size")
        if size and "image_size" in node.INPUT_TYPES()["optional"]:
            assert any(all(choice in line for choice in size.choices) for line in found)


@pytest.mark.parametrize("name", IN_A_LANGUAGE)
def test_nothing_is_left_to_fill_in(name: str) -> None:
    assert HOLE.findall(PAGES[name]) == []
    assert not re.search(r"\{(?!\")", PAGES[name])


@pytest.mark.parametrize("name", IN_A_LANGUAGE)
def test_the_picture_is_there_and_small(name: str) -> None:
    """It is looked for from `web/docs` on."""
    (link,) = re.findall(r"!\[[^]]+\]\(([^)]+)\)", PAGES[name])
    file = ROOT / link
    assert file.stat().st_size < LARGEST_PICTURE
    with Image.open(file) as picture:
        assert picture.format == "PNG"
        assert picture.width >= NARROWEST_PICTURE


def test_every_picture_is_a_node_s() -> None:
    nodes = {file.parent.name for file in ROOT.rglob("*.png")}
    assert nodes == set(NODE_CLASS_MAPPINGS)


@pytest.mark.parametrize("name", IN_A_LANGUAGE)
def test_no_word_widens_a_table_beyond_the_column(name: str) -> None:
    for line in PAGES[name].splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 3
            words = re.split(r"<wbr>|<br>|</?code>|[\s、，。；（）：-]", line)
            assert [w for w in words if w.isascii() and len(w) > LONGEST_WORD] == []


def test_every_task_of_a_node_is_told_of_and_no_other() -> None:
    assert set(TASKS) == {node.task for node in NODE_CLASS_MAPPINGS.values()}


@pytest.mark.parametrize("name", [*TASKS, *(f"shared/{name}" for name in SHARED)])
def test_the_prose_is_built_alike_in_both_languages(name: str) -> None:
    assert holes(name, "en") == holes(name, "zh")
    assert headings(name, "en") == headings(name, "zh")
    assert rows(prose(name, "en")) == rows(prose(name, "zh"))
    assert quotes(prose(name, "en")) == quotes(prose(name, "zh"))
    assert CHINESE.search(prose(name, "zh"))
    assert not CHINESE.search(prose(name, "en"))


@pytest.mark.parametrize("name", [*TASKS, *(f"shared/{name}" for name in SHARED)])
def test_prose_asks_for_nothing_that_does_not_exist(name: str) -> None:
    assert set(holes(name, "en")) <= {*FACTS, *SHARED}


@pytest.mark.parametrize("language", LANGUAGES)
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
    assert any(name in holes(other, "en") for other in others)


@pytest.mark.parametrize("name", TASKS)
def test_the_prose_shows_the_facts_and_what_can_go_wrong(name: str) -> None:
    asked = holes(name, "en")
    assert {"inputs", "outputs", "key", "trace"} <= set(asked)
    assert ("models" in asked) == bool(catalogue.load().of_task(name))
    assert {"lookup-troubles", "troubles", "picture-troubles"} & set(asked)


def test_the_folder_holds_prose_alone() -> None:
    files = {file for file in PROSE.rglob("*") if file.is_file()}
    assert files == {
        Path(PROSE / f"{name}.{language}.md")
        for name in (*TASKS, *(f"shared/{other}" for other in SHARED))
        for language in LANGUAGES
    }
