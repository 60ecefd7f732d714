"""A process that runs one node, forked from one that has loaded the pack; tests hold and kill it.

It does what one line of JSON says; it says `ready` when all is loaded, waits for a line,
and writes the outcome as JSON. `hold` names a function, whether to stop before or after it, and at
which call: there it says `held` and stands still. Previews are made as within ComfyUI. `leave` ends
the main program as soon as a request is under way. `image_side` connects an image of that size.
`most_file_bytes` makes every larger file fail as on a full disk.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import torch
from comfyui_siliconflow.comfyui import host
from comfyui_siliconflow.engine import exchange
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.strings.text import SiliconFlowError

PACK = "comfyui_siliconflow."


def main() -> None:
    """Fork a child for each connection that is sent, until there is no more; a child returns.

    Nobody waits for those that end, so that no other process gets the id of one.
    """
    # A shell starts what runs in its background deaf to Ctrl+C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    control = socket.socket(fileno=int(sys.argv[1]))
    while True:
        _, descriptors, _, _ = socket.recv_fds(control, 1, 1)
        if not descriptors:
            return
        is_child = os.fork() == 0
        if is_child:
            control.close()
            os.dup2(descriptors[0], 0)
            os.dup2(descriptors[0], 1)
        os.close(descriptors[0])
        if is_child:
            run()
            return


def run() -> None:
    """Follow the orders. Images come one after the other, so that "the first" is one."""
    orders = json.loads(sys.stdin.readline())
    os.environ.clear()
    os.environ.update(orders["environment"])
    _say(str(os.getpid()))
    exchange.PARALLEL_DOWNLOADS = 1
    progress = host.current_progress()
    host.current_progress, host.shows_images = lambda: progress, lambda: True
    if orders.get("hold"):
        _hold(*orders["hold"])
    if side := orders.get("image_side"):
        orders["inputs"]["image"] = torch.zeros(1, side, side, 3)
    if "most_file_bytes" in orders:
        _limit_files(orders["most_file_bytes"])
    _say("ready")
    sys.stdin.readline()
    if orders.get("leave"):
        asyncio.run(_leave(orders))
    else:
        _say(json.dumps(asyncio.run(_run(orders))))


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


async def _run(orders: dict[str, Any]) -> dict[str, Any]:
    try:
        images, _, info, *_ = await NODE_CLASS_MAPPINGS[orders["node"]]().execute(
            **orders["inputs"]
        )
    except SiliconFlowError as error:
        return {"images": 0, "error": f"{type(error).__name__}: {error}"}
    return {"images": len(images), "info": json.loads(info)}


async def _leave(orders: dict[str, Any]) -> None:
    running = asyncio.ensure_future(_run(orders))
    await asyncio.to_thread(sys.stdin.readline)
    running.cancel()
    _say("leaving")


def _hold(target: str, when: str, call: int) -> None:
    """Stand still before or after the given call of a function, from 1; other threads wait."""
    place, _, name = target.rpartition(".")
    owner = _find(place)
    original: Callable[..., Any] = getattr(owner, name)
    calls = iter(range(1, 1000))
    lock = threading.Lock()

    def held(*arguments: Any, **named: Any) -> Any:
        with lock:
            number = next(calls)
            if number == call and when == "before":
                _stand_still()
            result = original(*arguments, **named)
            if number == call and when == "after":
                _stand_still()
            return result

    setattr(owner, name, held)


def _find(place: str) -> Any:
    module, _, name = place.partition(":")
    found = import_module(module if module == "os" else PACK + module)
    return getattr(found, name) if name else found


def _stand_still() -> None:
    _say("held")
    time.sleep(600)


def _limit_files(most: int) -> None:
    import resource  # noqa: PLC0415 - Unix only

    resource.setrlimit(resource.RLIMIT_FSIZE, (most, resource.RLIM_INFINITY))


if __name__ == "__main__":
    main()
