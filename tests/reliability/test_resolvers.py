"""Whatever a resolver answers, what is paid is fetched, now or when it answers again."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_siliconflow.tests.reliability.resolvers import (
    RESOLVERS,
    Resolver,
    named_bench,
    try_resolver,
)


@pytest.mark.parametrize("resolver", RESOLVERS, ids=lambda resolver: resolver.name)
def test_what_was_paid_behind_a_resolver_is_kept_and_paid_once(
    tmp_path: Path, resolver: Resolver
) -> None:
    with named_bench(tmp_path) as (bench, server):
        assert try_resolver(bench, server, tmp_path / "data", resolver).problems == []
