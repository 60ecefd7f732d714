"""Names that others have written down: settings files, environments, pages, databases, `except`s.

`public_names.json` is what was released: names may be added to it, none is renamed or taken away.
"""

import inspect
import json
import re
from collections.abc import Callable
from contextlib import closing
from dataclasses import fields
from pathlib import Path

import pytest
from comfyui_siliconflow.comfyui import events, host
from comfyui_siliconflow.server.routes import PREFIX, ROUTES
from comfyui_siliconflow.siliconflow import errors
from comfyui_siliconflow.storage.database import Database
from comfyui_siliconflow.storage.migrations import HISTORY, LEDGER
from comfyui_siliconflow.storage.settings import Settings
from comfyui_siliconflow.strings.text import SiliconFlowError

ROOT = Path(__file__).parent.parent
RELEASED = json.loads(Path(__file__).with_name("public_names.json").read_text(encoding="utf-8"))


def settings(_folder: Path) -> set[str]:
    return {setting.name for setting in fields(Settings)}


def environment(_folder: Path) -> set[str]:
    outside = {"dev", "tests"}
    files = [file for file in ROOT.rglob("*.py") if file.relative_to(ROOT).parts[0] not in outside]
    source = "".join(file.read_text(encoding="utf-8") for file in files)
    return set(re.findall(r'"(SILICONFLOW_[A-Z_]+[A-Z])"', source))


def routes(_folder: Path) -> set[str]:
    return {f"{route.method} {PREFIX}{route.path}" for route in ROUTES}


def event_types(_folder: Path) -> set[str]:
    return {host.PREVIEW, *(value for name, value in vars(events).items() if name.isupper())}


def error_kinds(_folder: Path) -> set[str]:
    classes = inspect.getmembers(errors, inspect.isclass)
    return {name for name, kind in classes if issubclass(kind, SiliconFlowError)}


def columns(folder: Path) -> set[str]:
    """Return `file: table.column` of both databases, as they are made again."""
    collected = set()
    for name, migrations in (("ledger", LEDGER), ("history", HISTORY)):
        with closing(Database(folder, name, migrations)) as database, database.change() as db:
            tables = db.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for (table,) in tables:
                rows = db.execute("SELECT name FROM pragma_table_info(?)", (table,)).fetchall()
                collected |= {f"{name}: {table}.{column}" for (column,) in rows}
    return collected


KINDS: tuple[Callable[[Path], set[str]], ...] = (
    settings,
    environment,
    routes,
    event_types,
    error_kinds,
    columns,
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_released_name_is_still_there(kind: Callable[[Path], set[str]], tmp_path: Path) -> None:
    released = RELEASED[kind.__name__]
    assert released
    assert set(released) - kind(tmp_path) == set()
