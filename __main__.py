"""The command line: `python -m comfyui_siliconflow demo | simulator | check`."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from .engine import check
from .dev import demo
from .dev.generators import help_pages, locales
from .comfyui import host
from .engine.services import current_settings
from .strings import text as texts
from .siliconflow.errors import SiliconFlowError
from .strings.text import Text

PROGRAM = "python -m comfyui_siliconflow"
DEMO_LATENCY = 1.0
Command = Callable[[argparse.Namespace, list[str]], int]
AddParser = Callable[..., argparse.ArgumentParser]
_OUTPUT = Path("demo-output")
_SIMULATED = Text(
    "On a simulator: no key, no network, no cost.",
    "在模拟服务上运行：无需密钥和网络，不产生费用。",
)
_MISSING = Text(
    'Not installed: {module}. In a clone of the repository: python -m pip install -e ".[dev]"',
    '没有安装 {module}。请在仓库的克隆目录中运行：python -m pip install -e ".[dev]"',
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
    "check": Text(
        "tell whether the key works, whose it is, and the balance",
        "检查密钥是否可用、属于谁、余额多少",
    ),
    "locales": Text(
        "write ComfyUI's locale files anew (for developers)", "重新生成语言文件（开发用）"
    ),
    "help": Text(
        "write the nodes' help pages anew (for developers)", "重新生成节点帮助页（开发用）"
    ),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code is 1 for an error, which is printed."""
    texts.use(host.language(""))
    args, rest = _parser().parse_known_args(arguments)
    try:
        return int(args.run(args, rest))
    except SiliconFlowError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(_MISSING.format(module=error.name), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(PROGRAM)
    parser.set_defaults(parser=parser)
    add = parser.add_subparsers(required=True, metavar="demo | simulator | check").add_parser
    options = _command(add, "demo", _demo)
    options.add_argument("--output", type=Path, default=_OUTPUT, help=str(_HELP["--output"]))
    options.add_argument("--live", action="store_true", help=str(_HELP["--live"]))
    # The simulator has options of its own, and its packages are there for developers alone.
    _command(add, "simulator", _simulator, add_help=False)
    _command(add, "check", _check)
    _command(add, "locales", _locales)
    _command(add, "help", _help_pages)
    return parser


def _command(
    add: AddParser, name: str, run: Command, *, add_help: bool = True
) -> argparse.ArgumentParser:
    text = str(_HELP[name])
    parser = add(name, help=text, description=text, add_help=add_help)
    parser.set_defaults(run=run)
    return parser


def _demo(args: argparse.Namespace, rest: list[str]) -> int:
    _no_more(args, rest)
    args.output.mkdir(parents=True, exist_ok=True)
    return _live_demo(args.output) if args.live else _simulated_demo(args.output)


def _live_demo(output: Path) -> int:
    settings = current_settings()
    settings.require_key(host.data_directory())
    return _play(output, settings.site)


def _simulated_demo(output: Path) -> int:
    from .dev.simulator import Simulator

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


def _simulator(_args: argparse.Namespace, rest: list[str]) -> int:
    from .dev.simulator import cli

    parser = argparse.ArgumentParser(f"{PROGRAM} simulator", description=str(_HELP["simulator"]))
    language = host.language("")
    cli.add_arguments(parser, language)
    options = parser.parse_args(rest)
    options.language = language
    return cli.run(options)


def _check(args: argparse.Namespace, rest: list[str]) -> int:
    _no_more(args, rest)
    return check.check()


def _locales(args: argparse.Namespace, rest: list[str]) -> int:
    _no_more(args, rest)
    return locales.write()


def _help_pages(args: argparse.Namespace, rest: list[str]) -> int:
    _no_more(args, rest)
    return help_pages.write()


def _no_more(args: argparse.Namespace, rest: list[str]) -> None:
    if rest:
        args.parser.error(f"unrecognized arguments: {' '.join(rest)}")


if __name__ == "__main__":
    sys.exit(main())
