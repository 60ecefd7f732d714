"""Imports go one way: nodes use siliconflow and media, and neither of these knows the other."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
_BASE = {"siliconflow.errors", "siliconflow.texts"}
_TRANSPORT = {
    "siliconflow.addresses",
    "siliconflow.bodies",
    "siliconflow.connections",
    "siliconflow.responses",
}
ALLOWED: dict[str, set[str]] = {
    "siliconflow.texts": set(),
    "siliconflow.errors": {"siliconflow.texts"},
    "siliconflow.responses": _BASE,
    "siliconflow.fields": _BASE,
    "siliconflow.addresses": set(),
    "siliconflow.bodies": set(),
    "siliconflow.files": set(),
    "siliconflow.lease": set(),
    "siliconflow.names": set(),
    "siliconflow.catalogue": {*_BASE, "siliconflow.fields"},
    "siliconflow.settings": {*_BASE, "siliconflow.addresses"},
    "siliconflow.pacing": set(),
    "siliconflow.retries": {"siliconflow.errors"},
    "siliconflow.schema": set(),
    "siliconflow.store": {"siliconflow.lease"},
    "siliconflow.ledger": {"siliconflow.files", "siliconflow.schema", "siliconflow.store"},
    "siliconflow.jobs": {"siliconflow.schema", "siliconflow.store", "siliconflow.texts"},
    "siliconflow.connections": {"siliconflow.addresses"},
    "siliconflow.download": {*_BASE, *_TRANSPORT},
    "siliconflow.forms": set(),
    "siliconflow.sse": set(),
    "siliconflow.client": {*_BASE, *_TRANSPORT, "siliconflow.download", "siliconflow.forms"},
    "siliconflow.images": {*_BASE, "siliconflow.client"},
    "siliconflow.account": {*_BASE, "siliconflow.client"},
    "siliconflow.models": {*_BASE, "siliconflow.client"},
    "siliconflow.saving": {*_BASE, "siliconflow.files", "siliconflow.settings"},
    "siliconflow.model_list": {"siliconflow.saving"},
    "siliconflow.chat": {
        *_BASE,
        "siliconflow.client",
        "siliconflow.responses",
        "siliconflow.sse",
    },
    "siliconflow.speech": {
        *_BASE,
        "siliconflow.client",
        "siliconflow.forms",
        "siliconflow.responses",
    },
    "siliconflow.embeddings": {*_BASE, "siliconflow.client"},
    "siliconflow.rerank": {*_BASE, "siliconflow.client"},
}
FOLDERS = {
    "media": {"media"},
    "simulator": {"simulator"},
    "nodes": {"nodes", "siliconflow", "media"},
    "commands": {"commands", "nodes", "siliconflow", "media"},
}
PLANS = {"came", "endpoint", "plan", "prompt", "report", "siliconflow", "media"}
INSIDE_NODES: dict[str, set[str]] = {
    "host": {"siliconflow"},
    "threads": set(),
    "current": {"host", "siliconflow"},
    "offered": {"host", "siliconflow"},
    "events": {"asker", "host", "siliconflow"},
    "flight": {"threads"},
    "inputs": {"siliconflow"},
    "guard": {"job", "siliconflow"},
    "prompt": {"siliconflow"},
    "endpoint": {"siliconflow", "media"},
    "plan": {"endpoint", "prompt", "siliconflow", "media"},
    "upload": {"plan", "threads", "siliconflow", "media"},
    "job": {"plan", "siliconflow"},
    "asker": {"host"},
    "other_site": {"siliconflow"},
    "came": {"job", "plan", "siliconflow"},
    "balance": {"asker", "events", "host", "threads", "siliconflow"},
    "history": {"asker", "endpoint", "events", "job", "siliconflow"},
    "report": {"host", "job", "siliconflow", "media"},
    "records": {"job", "siliconflow"},
    "send": {"endpoint", "job", "records", "siliconflow"},
    "collect": {"endpoint", "job", "records", "threads", "siliconflow", "media"},
    "road": {"collect", "flight", "job", "plan", "records", "send", "upload", "siliconflow"},
    "run": {
        *("asker", "balance", "came", "current", "events", "guard", "history", "host", "job"),
        *("other_site", "patience", "plan", "report", "road", "threads", "upload"),
        *("siliconflow", "media"),
    },
    "patience": {"siliconflow"},
    "sentences": set(),
    "chat_plan": {*PLANS, "threads", "upload"},
    "speech_plan": {*PLANS, "sentences"},
    "similarity": set(),
    "texts_plan": {*PLANS, "similarity"},
    "lookups": {"asker", "came", "host", "run", "siliconflow"},
    "tasks": {
        *("asker", "came", "chat_plan", "inputs", "lookups", "plan", "run", "speech_plan"),
        *("texts_plan", "siliconflow"),
    },
    "node": {
        *("asker", "host", "inputs", "offered", "prompt", "tasks", "threads", "siliconflow"),
    },
    "base": {"node"},
    "same_site": {"page", "siliconflow"},
    "routes": {"page", "same_site", "siliconflow", "threads"},
}
FOR_THE_PAGE = {
    *("balance", "base", "current", "events", "history", "host", "inputs", "node", "offered"),
    *("page", "siliconflow", "media"),
}
TASKS = {"base", "inputs", "node"}
MODULES = sorted(
    path.relative_to(ROOT)
    for folder in ("nodes", "siliconflow", "media", "simulator", "commands")
    for path in (ROOT / folder).rglob("*.py")
)


def imported(path: Path) -> set[str]:
    """Give the modules of the pack that a file imports, as dotted names from the root."""
    found: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = [
                *path.parts[: -node.level],
                *((node.module or "").split(".") if node.module else []),
            ]
            names = {".".join([*base, alias.name]) for alias in node.names}
            found |= {_module(name) for name in names}
    return found


def _module(name: str) -> str:
    """Cut a dotted name down to the module that it is in."""
    while name and not (ROOT / name.replace(".", "/")).with_suffix(".py").is_file():
        if (ROOT / name.replace(".", "/") / "__init__.py").is_file():
            return name
        name = name.rpartition(".")[0]
    return name


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_module_imports_only_what_stands_below_it(path: Path) -> None:
    own = ".".join(path.with_suffix("").parts)
    found = {name for name in imported(path) if name != own}
    folder = path.parts[0]
    if folder == "siliconflow":
        assert found <= ALLOWED.get(own, set())
    else:
        assert {name.partition(".")[0] for name in found} <= FOLDERS[folder]


@pytest.mark.parametrize("path", [p for p in MODULES if p.parts[0] == "nodes"], ids=str)
def test_inside_nodes_the_tasks_stand_on_the_road_and_the_road_on_the_host(path: Path) -> None:
    names = {name for name in imported(path) if name != "nodes"}
    below = {name.removeprefix("nodes.").partition(".")[0] for name in names}
    if path.parts[1] == "page":
        assert below <= FOR_THE_PAGE
    elif path.stem != "__init__":
        assert below <= INSIDE_NODES.get(path.stem, TASKS)


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


def test_one_file_alone_touches_comfyui() -> None:
    words = ("sys.modules", "PromptServer", "folder_paths", '"comfy.', "comfy_execution")
    for path in MODULES:
        source = (ROOT / path).read_text(encoding="utf-8")
        if path != Path("nodes/host.py"):
            assert [word for word in words if word in source] == [], path


def test_the_web_framework_is_imported_by_the_routes_alone_and_not_before_they_answer() -> None:
    """ComfyUI brings it; the pack works without it."""
    for path in MODULES:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        if path.parts[0] != "simulator":
            found = [node for node in ast.walk(tree) if "aiohttp" in _imports_of(node)]
            assert not found or path == Path("nodes/routes.py"), path
            assert not any("aiohttp" in _imports_of(node) for node in tree.body)


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
