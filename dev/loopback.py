"""A web application on a port of this machine, for as long as a block lasts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator

from aiohttp import web

HOST = "127.0.0.1"
LAST_TURNS = 0.02
"""Seconds for what the event loop has yet to open or to close."""


@contextlib.asynccontextmanager
async def served(
    application: web.Application, port: int = 0, last_responses: float = 0.5
) -> AsyncIterator[int]:
    """Serve an application; the block is given its port, and 0 takes any free one.

    Responses under way at the end have `last_responses` seconds.

    Raises:
        OSError, OverflowError: the port cannot be used.
    """
    loop = asyncio.get_running_loop()
    with socket.socket() as listener:
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((HOST, port))
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=last_responses)
        await runner.setup()
        try:
            await web.SockSite(runner, listener).start()
            yield listener.getsockname()[1]
        finally:
            # asyncio loses, unclosed, a connection that it accepts in the turn in which it is
            # stopped: so nothing is accepted any more, and what was has been opened before.
            with contextlib.suppress(NotImplementedError):  # Windows
                loop.remove_reader(listener)
            await asyncio.sleep(LAST_TURNS)
            await runner.cleanup()
            await asyncio.sleep(LAST_TURNS)
