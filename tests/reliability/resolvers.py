"""Resolvers that make addresses up, fail, or name a dead address first, and images through them.

A server under the service's names, behind TLS, stands before the simulator. As with a proxy tool's
network device, connections to a made-up address lead to this machine.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from comfyui_siliconflow.dev.simulator import Simulator
from comfyui_siliconflow.siliconflow.http import addresses
from comfyui_siliconflow.tests.reliability.children import DATA
from comfyui_siliconflow.tests.reliability.faults import KEY
from comfyui_siliconflow.tests.reliability.rows import Row, row
from comfyui_siliconflow.tests.reliability.server import FaultServer, Reply
from comfyui_siliconflow.tests.reliability.trial import Bench, Run, environment, write_settings
from comfyui_siliconflow.tests.siliconflow.network import API, RESULTS, deaf
from comfyui_siliconflow.tests.waiting import LONGEST

DRAW = "SiliconFlowTextToImage"
ELSEWHERE = "results.example"
FAKE, UNIQUE_LOCAL, DEAD = "198.18.0.7", "fc00::7", "fc00::dead"
LEADS = {FAKE: "127.0.0.1", UNIQUE_LOCAL: "::ffff:127.0.0.1", DEAD: "::1"}
"""Where connections to a made-up address lead; nobody answers at the last one."""
Answers = Mapping[str, tuple[str, ...]]


def all_at(*found: str) -> dict[str, tuple[str, ...]]:
    """Return a resolver that answers for every name."""
    return dict.fromkeys((API, RESULTS, ELSEWHERE), found)


@dataclass(frozen=True)
class Resolver:
    """What a resolver answers, what the user sees then, and what the same brings afterwards.

    Afterwards every name has a made-up address, and the other host is one of the operator's.
    `charged` is what both runs cost. One that `hangs` says nothing of a name that it does not know.
    """

    name: str
    answers: Answers
    seen: str = "the image"
    again: str = "reused"
    host: str = RESULTS
    kept: int = 1
    charged: int = 1
    hangs: bool = False


RESOLVERS = (
    Resolver("every name is at 198.18.0.7", all_at(FAKE)),
    Resolver("every name is at fc00::7", all_at(UNIQUE_LOCAL)),
    Resolver("a result's host that is not the service's is at 198.18.0.7", all_at(FAKE),
             host=ELSEWHERE),
    Resolver("a result's host that is not the service's is at fc00::7", all_at(UNIQUE_LOCAL),
             "ResultRefused", "downloaded", ELSEWHERE),
    Resolver("a result's URL names the address 10.0.0.1", all_at(FAKE), "ResultRefused",
             "ResultRefused", "10.0.0.1", kept=0),
    Resolver("a result's URL names the address 198.18.0.7", all_at(FAKE), "ResultRefused",
             "ResultRefused", FAKE, kept=0),
    Resolver("no name can be resolved", {}, "HostNotFound", "paid"),
    Resolver("the resolver does not answer", {}, "HostNotFound", "paid", hangs=True),
    Resolver("the result's host cannot be resolved", {API: (FAKE,)}, "DownloadFailed",
             "downloaded"),
    Resolver("every name has a dead address first", all_at(DEAD, FAKE)),
)  # fmt: skip


class NamedServer(FaultServer):
    """Serves under the names of the service, with results at `host`."""

    def __init__(self, simulator: Simulator, folder: Path) -> None:
        """Trust a CA of its own alone."""
        super().__init__(simulator)
        authority = trustme.CA()
        self._ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self._ca_file))
        self._good = self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert(API, RESULTS, ELSEWHERE).configure_cert(self._good)
        self.host = RESULTS

    @property
    def origin(self) -> str:
        """Where the API is."""
        return f"https://{API}:{self.port}"

    def environment(self) -> dict[str, str]:
        """Return the variables with which the pack talks to this server."""
        return {**super().environment(), "REQUESTS_CA_BUNDLE": str(self._ca_file)}

    def forward(self, head: bytes, body: bytes) -> Reply:
        """Ask the simulator, and let its results be at `host`."""
        reply, results = super().forward(head, body), f"https://{self.host}:{self.port}"
        return replace(reply, body=reply.body.replace(self.origin.encode(), results.encode()))


@contextmanager
def named_bench(folder: Path) -> Iterator[tuple[Bench, NamedServer]]:
    """Serve under the names of the service; its results are kept below a folder."""
    with Simulator(key=KEY, balance="100000") as simulator:
        server = NamedServer(simulator, folder)
        yield Bench(simulator, server, folder), server
        server.close()


def try_resolver(bench: Bench, server: NamedServer, data: Path, resolver: Resolver) -> Row:
    """Run a node behind a resolver, and queue the same again behind one that answers."""
    data.mkdir()
    write_settings(data, connect_timeout=1 if resolver.hangs else 30)
    server.host = resolver.host
    server.drop_idle()
    with environment({**server.environment(), DATA: str(data)}):
        with ExitStack() as stack:
            if DEAD in resolver.answers.get(API, ()):
                stack.enter_context(deaf(LEADS[DEAD], server.port))
            stack.enter_context(resolving(resolver.answers, hangs=resolver.hangs))
            first = bench.run(DRAW)
        write_settings(data, connect_timeout=30)
        with resolving(all_at(FAKE)) as patch:
            patch.setenv(addresses.VARIABLE, ELSEWHERE)
            again = bench.run(DRAW)
        bench.settled()
    return row(
        resolver.name,
        (first.seen, _brought(again)),
        (again.images, 1, first.charged + again.charged),
        ((resolver.seen, resolver.again), (resolver.kept, 1, resolver.charged)),
    )


@contextmanager
def resolving(answers: Answers, *, hangs: bool = False) -> Iterator[pytest.MonkeyPatch]:
    """Resolve these names alone, and lead connections to made-up addresses to this machine."""
    resolve, connect = socket.getaddrinfo, socket.socket.connect
    is_over = threading.Event()

    def answer(host: Any, port: Any, *given: int, **named: int) -> Any:
        if named.get("flags") or host not in all_at():
            return resolve(host, port, *given, **named)
        if host not in answers:
            if hangs:
                is_over.wait(LONGEST)
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        families = {address: socket.AF_INET6 if ":" in address else socket.AF_INET
                    for address in answers[host]}  # fmt: skip
        return [
            (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, int(port or 0)))
            for address, family in families.items()
        ]

    def lead(opened: socket.socket, address: Any) -> None:
        connect(opened, (LEADS.get(address[0], address[0]), *address[1:]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(addresses, "_winners", {})
        patch.setattr(socket, "getaddrinfo", answer)
        patch.setattr(socket.socket, "connect", lead)
        yield patch
        is_over.set()


def _brought(run: Run) -> str:
    return run.seen if run.error else ", ".join(run.origins)
