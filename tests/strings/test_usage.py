"""Every string is used, none is missing, and each is in its language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.strings.text import DEFAULT, Entry, entries_of

ROOT = Path(__file__).parents[2]
KEYS = set(entries_of(DEFAULT))
PAGE = "page."
QUOTED = re.compile(r'"([a-z_]+\.[A-Za-z_.]+)"')
TEMPLATE = re.compile(r"`([a-z_]+\.)\$\{")
PLACEHOLDER = re.compile(r"\{\w+\}")
CHINESE = re.compile(r"[\u4e00-\u9fff]")
NAMED_IN_FULL = ("error.", "invalid.")
"""Families whose keys are known one by one: an f-string of their shape says nothing of any."""
SAME_IN_BOTH = re.compile(r"HTTP|token")
"""What Chinese users of the service say as English ones do."""


def modules() -> list[ast.Module]:
    files = [file for file in ROOT.rglob("*.py") if file.relative_to(ROOT).parts[0] != "tests"]
    return [ast.parse(file.read_text(encoding="utf-8")) for file in files]


@cache
def nodes_of_code() -> list[ast.AST]:
    return [node for module in modules() for node in ast.walk(module)]


def literals() -> set[str]:
    """Return the keys that stand anywhere in the code."""
    constants = (node for node in nodes_of_code() if isinstance(node, ast.Constant))
    return {node.value for node in constants if isinstance(node.value, str)} & KEYS


def patterns() -> list[re.Pattern[str]]:
    """Return a pattern for each f-string that could make a key, such as `node.{task}.name`."""
    patterns = []
    for node in nodes_of_code():
        if isinstance(node, ast.JoinedStr):
            parts = [
                str(part.value) if isinstance(part, ast.Constant) else None for part in node.values
            ]
            words = "".join(filter(None, parts))
            if re.fullmatch(r"[\w.-]*\.[\w.-]*", words) and re.search(r"[a-z]{4}", words):
                patterns.append(
                    "".join("[^.]+" if part is None else re.escape(part) for part in parts)
                )
    return [re.compile(pattern) for pattern in patterns]


def looked_up() -> Iterator[str]:
    """Yield each key that is given literally to `text`, or as its last part to `invalid`."""
    for node in nodes_of_code():
        if isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            if name in {"text", "invalid"}:
                start = "invalid." if name == "invalid" else ""
                key = node.args[0]
                choices = [key.body, key.orelse] if isinstance(key, ast.IfExp) else [key]
                for choice in choices:
                    if isinstance(choice, ast.Constant) and isinstance(choice.value, str):
                        yield start + choice.value


def of_error_classes() -> set[str]:
    """Return the keys under which an exception class may have its own words."""
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    names = [value.__name__ for value in classes if issubclass(value, errors.RequestError)]
    return {f"error.{name}.{part}" for name in names for part in ("what", "advice")}


def scripts() -> list[str]:
    files = (ROOT / "web" / "js").rglob("*.js")
    return [file.read_text(encoding="utf-8") for file in files if file.name != "texts.js"]


def quoted_in_scripts() -> set[str]:
    """Return what looks like one of the page's keys in its scripts."""
    families = {key.split(".")[1] for key in KEYS if key.startswith(PAGE)}
    keys = {key for script in scripts() for key in QUOTED.findall(script)}
    return {f"{PAGE}{key}" for key in keys if key.split(".")[0] in families and key[-3:] != ".js"}


def used_by_scripts(key: str) -> bool:
    templates = {start for script in scripts() for start in TEMPLATE.findall(script)}
    return key in quoted_in_scripts() or key.startswith(tuple(PAGE + start for start in templates))


def wordings(entry: Entry) -> list[str]:
    return [entry] if isinstance(entry, str) else list(entry.values())


def test_every_key_is_used() -> None:
    named, made = literals() | set(looked_up()) | of_error_classes(), patterns()
    assert named
    assert made
    unused = [
        key
        for key in KEYS
        if not (used_by_scripts(key) if key.startswith(PAGE) else key in named)
        and (key.startswith(NAMED_IN_FULL) or not any(pattern.fullmatch(key) for pattern in made))
    ]
    assert sorted(unused) == []


def test_every_key_that_python_uses_exists() -> None:
    keys = set(looked_up())
    assert {"server.not_json", "invalid.no_pixels"} < keys
    assert keys - KEYS == set()


def test_every_key_that_the_page_uses_exists() -> None:
    assert "page.jobs.title" in quoted_in_scripts()
    assert quoted_in_scripts() - KEYS == set()


def test_every_task_input_and_output_has_its_strings_and_no_other_has() -> None:
    nodes = NODE_CLASS_MAPPINGS.values()
    inputs = {(name, node.task) for node in nodes for name in (*node.required, *node.optional)}
    outputs = {(name, node.task) for node in nodes for name in node.outputs}
    parts = [key.split(".") for key in KEYS]
    assert {part[1] for part in parts if part[0] == "node"} == {node.task for node in nodes}
    for kind, pairs in (("input", inputs), ("output", outputs)):
        assert {part[1] for part in parts if part[0] == kind} == {name for name, _ in pairs}
        of_one_task = {(part[1], part[3]) for part in parts if part[0] == kind and len(part) > 3}
        assert of_one_task <= pairs


@pytest.mark.parametrize("key", sorted(KEYS))
def test_chinese_is_chinese_and_english_is_not(key: str) -> None:
    english = wordings(entries_of(DEFAULT)[key])
    assert not any(CHINESE.search(wording) for wording in english)
    for wording in wordings(entries_of("zh")[key]):
        if not CHINESE.search(wording):  # names, units and punctuation
            words = SAME_IN_BOTH.sub("", PLACEHOLDER.sub("", wording))
            assert wording in english or not re.search(r"[a-z]{2}", words)
            assert len(re.findall(r"[^\W\d]+", words)) <= 1


def test_the_user_is_addressed_in_one_way() -> None:
    """As 你: the polite 您 in some places would read as if by two authors."""
    files = [*(ROOT / "strings").glob("*.json"), *(ROOT / "dev/generators/help").rglob("*.md")]
    files += [*ROOT.rglob("*.zh-CN.md"), *(ROOT / "siliconflow").rglob("*.json")]
    assert len({file.parent for file in files}) > 3
    assert [file.name for file in files if "您" in file.read_text(encoding="utf-8")] == []
