"""The command line: `python -m comfyui_siliconflow check`, and in a clone the commands of dev/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec

from .comfyui import host
from .engine import check
from .strings.text import SiliconFlowError, Text, use_language

PROGRAM = "python -m comfyui_siliconflow"
Command = Callable[[argparse.Namespace, list[str]], int]
OWN_OPTIONS = frozenset({"simulator"})
"""Commands that parse the rest of their line themselves."""
_MISSING = Text(
    'Not installed: {module}. In a clone of the repository: python -m pip install -e ".[dev]"',
    '没有安装 {module}。请在仓库的克隆目录中运行：python -m pip install -e ".[dev]"',
)
_CHECK = Text(
    "tell whether the key works, whose it is, and the balance",
    "检查密钥是否可用、属于谁、余额多少",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; its exit code is 1 for an error, which is printed."""
    use_language(host.language(""))
    parser = _parser()
    args, rest = parser.parse_known_args(arguments)
    if rest and args.command not in OWN_OPTIONS:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
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
    commands = parser.add_subparsers(required=True, dest="command", metavar="command")

    def add_command(
        name: str, description: Text, run: Command, *, add_help: bool = True
    ) -> argparse.ArgumentParser:
        said = str(description)
        added = commands.add_parser(name, help=said, description=said, add_help=add_help)
        added.set_defaults(run=run, program=f"{PROGRAM} {name}")
        return added

    add_command("check", _CHECK, lambda _args, _rest: check.check())
    # What the Registry ships has no dev/: there no command of it is offered.
    if find_spec(f"{__package__}.dev"):
        import_module(".dev.commands", __package__).add_to(add_command)
    return parser


if __name__ == "__main__":
    sys.exit(main())
