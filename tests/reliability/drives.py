"""Drives that refuse something, and what is paid, killed and queued again upon them."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfyui_siliconflow.tests.refusing_drive import variables
from comfyui_siliconflow.tests.reliability.children import DATA, Child, Nursery
from comfyui_siliconflow.tests.reliability.trial import NODES, Bench, write_settings

DRAW = "SiliconFlowTextToImage"
PAIR = {**NODES[DRAW], "model": "Kwai-Kolors/Kolors", "batch_size": 2, "seed": 7, "prompt": "a cat"}
LEDGER = "storage.ledger:Ledger"


@dataclass(frozen=True)
class Drive:
    """What a drive refuses, and words of what the user is told, if anything has to be."""

    name: str
    refusals: Mapping[str, int] = field(default_factory=dict)
    notice: str = ""


DRIVES = (
    Drive("a local disk"),
    Drive("folders cannot be synced: CIFS", {"REFUSE_FOLDER_SYNC": errno.EINVAL}, "power failure"),
    Drive("folders cannot be synced: FUSE", {"REFUSE_FOLDER_SYNC": errno.ENOTSUP}, "power failure"),
    Drive(
        "no shared memory: network drives", {"REFUSE_SHARED_MEMORY": errno.ENODEV}, "write-ahead"
    ),
    Drive("modes cannot be changed: NTFS", {"REFUSE_CHMOD": errno.EPERM}, "permissions"),
    Drive("modes cannot be changed: read-only", {"REFUSE_CHMOD": errno.EROFS}, "permissions"),
    Drive("a scanner holds up each rename", {"REFUSE_RENAMES": 3}),
    Drive("names of at most 143 bytes: eCryptfs", {"LONGEST_NAME": 143}),
    Drive(
        "all of it",
        {
            "REFUSE_FOLDER_SYNC": errno.EINVAL,
            "REFUSE_SHARED_MEMORY": errno.ENODEV,
            "REFUSE_CHMOD": errno.EPERM,
            "REFUSE_RENAMES": 2,
            "LONGEST_NAME": 143,
        },
        "write-ahead",
    ),
)
CREATING = ("storage.database:Database._version", "after", 2)
SAVING = (f"{LEDGER}.store_file", "after", 1)
REBUILDING = (f"{LEDGER}._record_folder", "after", 128)
"""Where a process is killed: as it creates the ledger, with one image of two saved, and half way
through a rebuild.
"""


def try_drive(bench: Bench, folder: Path, library: Path, drive: Drive) -> list[str]:
    """Pay, be killed, and queue again on a drive; return what is not as expected.

    A process is killed as it creates the ledger, and another when it has saved one image of two:
    the next downloads the other. Then the ledger is lost, and another is killed while it
    rebuilds it: the next has both images.
    """
    write_settings(folder, api_key=bench.simulator.key)
    environment = {
        **bench.server.environment(),
        "SILICONFLOW_API_KEY": "",
        DATA: str(folder),
        **variables(library, folder, drive.refusals),
    }
    charged = bench.paid
    with closing(Nursery(environment)) as nursery:
        _kill(nursery, CREATING)
        unpaid = bench.paid - charged
        _kill(nursery, SAVING)
        downloaded = _run(nursery)
        for file in (folder / "siliconflow-ledger").glob("ledger.sqlite3*"):
            file.unlink()
        _kill(nursery, REBUILDING)
        reused = _run(nursery)
    told = [*_notes(downloaded), *_notes(reused)]
    checks = [
        ("charged before it was sent", unpaid, 0),
        ("charged", bench.paid - charged, 2),
        ("after the first kill", _origin(downloaded), "downloaded"),
        ("after the rebuild", _origin(reused), "reused"),
        ("not saved", [note for note in told if "cannot be used" in note], []),
        ("told", drive.notice in " ".join(told), True),
    ]
    return [
        f"{what}: {got!r}, not {expected!r}" for what, got, expected in checks if got != expected
    ]


def _kill(nursery: Nursery, hook: tuple[str, str, int]) -> None:
    """Start a process that runs the node, and kill it where it stands still."""
    process = Child(nursery, {"node": DRAW, "inputs": PAIR, "hold": hook})
    try:
        process.go()
        process.expect("held")
    finally:
        process.end()


def _run(nursery: Nursery) -> dict[str, Any]:
    process = Child(nursery, {"node": DRAW, "inputs": PAIR})
    try:
        process.go()
        return process.result()
    finally:
        process.end()


def _origin(result: dict[str, Any]) -> str:
    return str(result.get("error") or result["info"]["requests"][0]["origin"])


def _notes(result: dict[str, Any]) -> list[str]:
    return list(result.get("info", {}).get("notes", []))
