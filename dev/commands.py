"""The commands that are there in a clone alone: demo, simulator, locales, help."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
from collections.abc import Callable
from pathlib import Path

from ..comfyui import host
from ..engine.services import current_settings
from ..strings.text import Text
from . import demo
from .generators import help_pages, locales

DEMO_LATENCY = 1.0
AddCommand = Callable[..., argparse.ArgumentParser]
_OUTPUT = Path("demo-output")
_SIMULATED = Text(
    "On a simulator: no key, no network, no cost.",
    "在模拟服务上运行：无需密钥和网络，不产生费用。",
)
_DONE = Text("Done: {count} pictures in {folder}", "完成：{count} 张图片，位于 {folder}")
_HELP = {
    "demo": Text(
        "run the image nodes once, without a key or a network, and save what they make",
        "不需要密钥和网络，把图像节点运行一遍并保存图片",
    ),
    "--output": Text("folder for the pictures", "图片保存目录"),
    "--live": Text(
        "use the real service and SILICONFLOW_API_KEY: five pictures are charged",
        "使用真实服务与 SILICONFLOW_API_KEY：会产生五张图片的费用",
    ),
    "simulator": Text("serve a SiliconFlow on this machine", "在本机启动一个 SiliconFlow 模拟服务"),
    "locales": Text(
        "write ComfyUI's locale files anew (for developers)", "重新生成语言文件（开发用）"
    ),
    "help": Text(
        "write the nodes' help pages anew (for developers)", "重新生成节点帮助页（开发用）"
    ),
}


def add_to(add_command: AddCommand) -> None:
    """Add every command of a clone to the command line."""
    options = add_command("demo", _HELP["demo"], _demo)
    options.add_argument("--output", type=Path, default=_OUTPUT, help=str(_HELP["--output"]))
    options.add_argument("--live", action="store_true", help=str(_HELP["--live"]))
    # The simulator parses its own options: its packages are there for developers alone.
    add_command("simulator", _HELP["simulator"], _simulator, add_help=False)
    add_command("locales", _HELP["locales"], lambda _args, _rest: locales.write())
    add_command("help", _HELP["help"], lambda _args, _rest: help_pages.write())


def _demo(args: argparse.Namespace, _rest: list[str]) -> int:
    args.output.mkdir(parents=True, exist_ok=True)
    return _live_demo(args.output) if args.live else _simulated_demo(args.output)


def _live_demo(output: Path) -> int:
    settings = current_settings()
    settings.require_key(host.data_directory())
    return _play(output, settings.site)


def _simulated_demo(output: Path) -> int:
    from .simulator import Simulator

    with tempfile.TemporaryDirectory() as folder, Simulator(latency=DEMO_LATENCY) as simulator:
        os.environ["SILICONFLOW_API_KEY"] = simulator.key
        os.environ["SILICONFLOW_BASE_URL"] = simulator.base_url
        os.environ["SILICONFLOW_DATA_DIR"] = folder
        print(_SIMULATED)
        return _play(output, "cn")


def _play(output: Path, site: str) -> int:
    files = asyncio.run(demo.play(output.resolve(), site))
    print(_DONE.format(count=len(files), folder=output.resolve()))
    return 0


def _simulator(args: argparse.Namespace, rest: list[str]) -> int:
    from .simulator import cli

    parser = argparse.ArgumentParser(args.program, description=str(_HELP["simulator"]))
    language = host.language("")
    cli.add_arguments(parser, language)
    options = parser.parse_args(rest)
    options.language = language
    return cli.run(options)
