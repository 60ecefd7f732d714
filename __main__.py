"""The command line: `python -m comfyui_siliconflow check`, and in a clone the commands of dev/."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec

from .comfyui import host
from .server.connection_check import check, check_contract
from .strings.text import SiliconFlowError, Text, text, use_language

PROGRAM = f"python -m {__package__}"
"""As it was started: the folder may have another name."""
Command = Callable[[argparse.Namespace, list[str]], int]
OWN_OPTIONS = frozenset({"simulator"})
"""Commands that parse their own options."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 1 for an error, which is printed.

    What `check` finds is all on stdout, as a report that can be redirected as a whole.
    """
    use_language(host.language(""))
    parser = _parser()
    args, rest = parser.parse_known_args(arguments)
    if rest and args.command not in OWN_OPTIONS:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        return int(args.run(args, rest))
    except SiliconFlowError as error:
        print(f"\n{error}", file=sys.stdout if args.command == "check" else sys.stderr)
        return 1
    except ModuleNotFoundError as error:
        print(text("cli.not_installed", module=error.name), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(PROGRAM)
    commands = parser.add_subparsers(required=True, dest="command", metavar="command")

    def add_command(
        name: str, description: Text, run: Command, *, add_help: bool = True
    ) -> argparse.ArgumentParser:
        command = commands.add_parser(
            name, help=str(description), description=str(description), add_help=add_help
        )
        command.set_defaults(run=run, program=f"{PROGRAM} {name}")
        return command

    options = add_command("check", text("cli.check"), _check)
    options.add_argument("--contract", action="store_true", help=str(text("cli.check.contract")))
    options.add_argument("--paid", action="store_true", help=str(text("cli.check.paid")))
    # The Registry does not ship dev/.
    if find_spec(f"{__package__}.dev"):
        import_module(".dev.commands", __package__).add_to(add_command)
    return parser


def _check(args: argparse.Namespace, _rest: list[str]) -> int:
    return check_contract(paid=args.paid) if args.contract or args.paid else check()


if __name__ == "__main__":
    sys.exit(main())
