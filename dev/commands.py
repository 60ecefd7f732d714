"""The commands of a clone: demo, simulator, locales, help."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..comfyui import host
from ..engine.services import current_settings
from ..strings.text import text
from . import demo
from .generators import help_pages, locales

DEMO_LATENCY = 1.0
AddCommand = Callable[..., argparse.ArgumentParser]
_OUTPUT = Path("demo-output")


def add_to(add_command: AddCommand) -> None:
    """Add the commands to the command line."""
    options = add_command("demo", text("cli.demo"), _demo)
    options.add_argument("--output", type=Path, default=_OUTPUT, help=str(text("cli.demo.output")))
    options.add_argument("--live", action="store_true", help=str(text("cli.demo.live")))
    # The simulator parses its own options: its packages are installed for developers only.
    add_command("simulator", text("cli.simulator"), _simulator, add_help=False)
    add_command("locales", text("cli.locales"), lambda _args, _rest: locales.write())
    add_command("help", text("cli.help"), lambda _args, _rest: help_pages.write())


def _demo(args: argparse.Namespace, _rest: list[str]) -> int:
    args.output.mkdir(parents=True, exist_ok=True)
    return _live_demo(args.output) if args.live else _simulated_demo(args.output)


def _live_demo(output: Path) -> int:
    settings = current_settings()
    settings.require_key(host.data_directory())
    return _play(output, settings.site)


def _simulated_demo(output: Path) -> int:
    from .simulator import Simulator

    with (
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
        Simulator(latency=DEMO_LATENCY, as_of="today") as simulator,
    ):
        os.environ["SILICONFLOW_API_KEY"] = simulator.key
        os.environ["SILICONFLOW_BASE_URL"] = simulator.base_url
        os.environ["SILICONFLOW_DATA_DIR"] = folder
        print(text("cli.demo.simulated"))
        return _play(output, "cn")


def _play(output: Path, site: str) -> int:
    files = asyncio.run(demo.play(output.resolve(), site))
    print(text("cli.demo.done", count=len(files), folder=output.resolve()))
    return 0


def _simulator(args: argparse.Namespace, rest: list[str]) -> int:
    from .simulator import cli

    parser = argparse.ArgumentParser(args.program, description=str(text("cli.simulator")))
    language = host.language("")
    cli.add_arguments(parser, language)
    options = parser.parse_args(rest)
    options.language = language
    return cli.run(options)
