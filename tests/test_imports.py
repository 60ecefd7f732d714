"""Imports go one way, one row a folder, and each file has one name of its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT: dict[str, set[str]] = {
    "strings": set(),
    "media": {"strings"},
    "siliconflow": {"strings"},
    "storage": {"strings"},
    "comfyui": {"siliconflow", "storage", "strings"},
    "engine": {"comfyui", "media", "siliconflow", "storage", "strings"},
    "tasks": {"engine", "comfyui", "media", "siliconflow", "storage", "strings"},
    "nodes": {"engine", "comfyui", "siliconflow", "storage", "strings"},
    "server": {"nodes", "engine", "comfyui", "media", "siliconflow", "storage", "strings"},
}
"""The house from the ground up. Nodes reach tasks by a lazy import alone: see `LAZY`."""
LAZY = {"nodes": {"tasks"}}
WEB_FRAMEWORK = {Path("server/routes.py"), Path("server/queueing.py")}
MODULES = sorted(
    path.relative_to(ROOT) for folder in MAY_IMPORT for path in (ROOT / folder).rglob("*.py")
)
assert {path.parts[0] for path in MODULES} == set(MAY_IMPORT)


def imported(path: Path) -> tuple[set[str], set[str]]:
    """Return the pack's modules that a file imports at its top, and those that it imports later.

    Dotted names from the root. What is imported for its types alone counts as imported later.
    """
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    top = {node for node in tree.body if isinstance(node, ast.ImportFrom)}
    eager: set[str] = set()
    lazy: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [*path.parts[: -node.level], *(node.module or "").split(".")]
            names = {".".join([*filter(None, base), alias.name]) for alias in node.names}
            (eager if node in top else lazy).update(map(_module, names))
    return eager, lazy


def _module(name: str) -> str:
    """Cut a dotted name down to the module that it is in."""
    while name and not (ROOT / name.replace(".", "/")).with_suffix(".py").is_file():
        if (ROOT / name.replace(".", "/") / "__init__.py").is_file():
            return name
        name = name.rpartition(".")[0]
    return name


@pytest.mark.parametrize("folder", MAY_IMPORT)
def test_a_folder_imports_only_those_below_it(folder: str) -> None:
    paths = [path for path in MODULES if path.parts[0] == folder]
    assert paths
    for path in paths:
        eager, lazy = (
            {name.partition(".")[0] for name in names} - {folder} for names in imported(path)
        )
        assert eager <= MAY_IMPORT[folder], path
        assert lazy <= MAY_IMPORT[folder] | LAZY.get(folder, set()), path


def test_no_file_name_stands_twice_among_the_folders() -> None:
    names = [path.name for path in MODULES if path.name != "__init__.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_no_folder_holds_more_than_fifteen_files() -> None:
    folders = [path.parent for path in MODULES if path.name != "__init__.py"]
    assert max(folders.count(folder) for folder in folders) <= 15


def test_nothing_of_the_product_imports_what_developers_alone_have() -> None:
    for path in [*MODULES, Path("__init__.py"), Path("__main__.py")]:
        eager, lazy = imported(path)
        assert not {"dev", "tests"} & {name.partition(".")[0] for name in eager | lazy}, path


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_every_import_inside_the_pack_is_relative(path: Path) -> None:
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            assert not (ROOT / name.partition(".")[0]).is_dir(), name
            assert not name.startswith("comfyui_siliconflow")


def test_the_client_knows_neither_torch_nor_comfyui() -> None:
    for path in MODULES:
        source = (ROOT / path).read_text(encoding="utf-8")
        if path.parts[0] == "siliconflow":
            assert "import torch" not in source
        assert "import comfy" not in source
        assert "from comfy." not in source


def test_one_folder_alone_touches_comfyui() -> None:
    words = ("sys.modules", "PromptServer", "folder_paths", '"comfy.', "comfy_execution")
    for path in MODULES:
        source = (ROOT / path).read_text(encoding="utf-8")
        if path.parts[0] != "comfyui":
            assert [word for word in words if word in source] == [], path


def test_the_web_framework_is_imported_where_there_is_a_server_alone() -> None:
    """ComfyUI brings it; the pack works without it."""
    for path in MODULES:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        items = [node for node in ast.walk(tree) if "aiohttp" in _imports_of(node)]
        assert not items or path in WEB_FRAMEWORK, path
        assert not any("aiohttp" in _imports_of(node) for node in tree.body)


def test_no_thread_is_one_that_the_interpreter_waits_for_when_it_exits() -> None:
    """Executors join their threads then, and so does asyncio with those of its own."""
    joined = {"ThreadPoolExecutor", "ProcessPoolExecutor", "to_thread", "run_in_executor"}
    for path in MODULES:
        nodes = list(ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))))
        names = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        names |= {node.id for node in nodes if isinstance(node, ast.Name)}
        assert not joined & names, path


def _imports_of(node: ast.AST) -> set[str]:
    if isinstance(node, ast.ImportFrom):
        return {(node.module or "").partition(".")[0]}
    names = node.names if isinstance(node, ast.Import) else []
    return {alias.name.partition(".")[0] for alias in names}


def test_importing_the_pack_starts_nothing_and_reaches_nowhere() -> None:
    """Neither a thread, nor a connection, nor what only a running node needs."""
    program = """
import socket, sys, threading
def refuse(*_args, **_kwargs):
    raise AssertionError("the network was used")
socket.socket.connect = refuse
socket.getaddrinfo = refuse
import comfyui_siliconflow
assert comfyui_siliconflow.NODE_CLASS_MAPPINGS
for node in comfyui_siliconflow.NODE_CLASS_MAPPINGS.values():
    node.INPUT_TYPES()
assert threading.active_count() == 1, threading.enumerate()
heavy = {"requests", "urllib3", "sqlite3", "aiohttp", "jsonschema", "scipy"} & set(sys.modules)
assert not heavy, heavy
assert not [name for name in sys.modules if name.startswith("comfyui_siliconflow.dev.simulator")]
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
