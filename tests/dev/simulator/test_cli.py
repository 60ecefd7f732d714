"""The simulator at the command line."""

import argparse
import re
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator, cli
from comfyui_siliconflow.dev.simulator.models import read_table

# What a shell starts in the background ignores SIGINT, and so does what that starts.
START = """
import argparse
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
from comfyui_siliconflow.dev.simulator import cli
parser = argparse.ArgumentParser()
cli.add_arguments(parser)
parser.add_argument("--language")
raise SystemExit(cli.run(parser.parse_args()))
"""


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(words)


@pytest.fixture(params=["en", "zh"])
def command(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[str]]:
    words = [sys.executable, "-X", "utf8", "-c", START, "--port", "0", "--ipm", "1", "--language"]
    with subprocess.Popen(
        [*words, request.param], stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        yield process
        process.kill()


def test_every_option_has_a_default() -> None:
    args = parse()
    assert (args.site, args.latency, str(args.balance)) == ("cn", 0, "100.00")
    assert (args.ipm, args.rpm, args.tpm) == (None, None, None)
    assert (args.as_of, args.removed_fields) == ("ever", "refuse")


@pytest.mark.parametrize(
    "words",
    [
        ["--site", "eu"],
        ["--port", "x"],
        ["--latency", "-1"],
        ["--latency", "nan"],
        ["--rpm", "-1"],
        ["--tpm", "many"],
        ["--balance", "x"],
        ["--as-of", "soon"],
        ["--removed-fields", "keep"],
    ],
)
def test_a_wrong_option_is_refused(words: list[str]) -> None:
    with pytest.raises(SystemExit):
        parse(*words)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_a_port_in_use_is_explained(
    simulator: Simulator, capsys: pytest.CaptureFixture[str], language: str
) -> None:
    args = parse("--port", str(simulator.port))
    args.language = language
    assert cli.run(args) == 1
    assert str(simulator.port) in capsys.readouterr().err


def test_a_port_that_cannot_exist_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(parse("--port", "70000")) == 1
    assert "70000" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_it_prints_what_to_use_then_a_line_per_request_until_ctrl_c(
    command: subprocess.Popen[str],
) -> None:
    assert command.stdout
    words = read_the_start(command)
    base_url = re.findall(r"SILICONFLOW_BASE_URL=(\S+)", words)[0]
    key = re.findall(r"SILICONFLOW_API_KEY=(\S+)", words)[0]
    body = {"model": "Qwen/Qwen-Image", "prompt": "x", "image_size": "320x240"}
    for status in (200, 429):
        answer = requests.post(
            f"{base_url}/images/generations",
            json=body,
            headers={"Authorization": f"Bearer {key}"},
            timeout=20,
        )
        line = command.stdout.readline()
        assert line.startswith(f"{status}  Qwen/Qwen-Image")
        assert answer.headers["x-siliconcloud-trace-id"] in line
    talk = {"model": "Qwen/Qwen3-8B", "messages": [{"role": "user", "content": "x"}]}
    headers = {"Authorization": f"Bearer {key}"}
    requests.post(f"{base_url}/chat/completions", json=talk, headers=headers, timeout=20)
    assert re.search(r"^200  Qwen/Qwen3-8B  \d+ .*token.*  .*0\.001  ", command.stdout.readline())
    command.send_signal(signal.SIGINT)
    assert "0.10" in command.stdout.read()
    assert command.wait(10) == 0


def test_it_prints_what_to_set_in_each_shell(command: subprocess.Popen[str]) -> None:
    words = read_the_start(command)
    (url,) = set(re.findall(r"http://\S+/v1", words.replace('"', " ")))
    key, address = "SILICONFLOW_API_KEY", "SILICONFLOW_BASE_URL"
    assert f" export {key}=sk-simulator {address}={url}\n" in words
    assert f" set {key}=sk-simulator\n" in words
    assert f" set {address}={url}\n" in words
    assert f' $env:{key}="sk-simulator"; $env:{address}="{url}"\n' in words


def test_the_printed_commands_set_an_error_and_clear_it(command: subprocess.Popen[str]) -> None:
    words = read_the_start(command)
    commands = re.findall(r"curl -d '(.+)' (\S+)\n", words)
    assert commands
    assert re.findall(r"irm (\S+) -Method Post -Body '(.+)'\n", words) == [
        (address, body) for body, address in commands
    ]
    waiting = []
    for body, address in commands:
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = requests.post(address, data=body, headers=form, timeout=20)
        assert answer.status_code == 200
        waiting.append(requests.get(address, timeout=20).json()["faults_waiting"])
    assert waiting == [1, 0]


def read_the_start(command: subprocess.Popen[str]) -> str:
    """Return what is printed up to the head of the requests that follow."""
    assert command.stdout
    heads = {f"{texts['head']}\n" for texts in read_table("cli").values()}
    lines = [""]
    while lines[-1] not in heads:
        lines.append(command.stdout.readline())
        assert lines[-1], "it ended"
    return "".join(lines)


def test_both_languages_have_every_text() -> None:
    texts = read_table("cli")
    assert texts["zh"]
    assert set(texts["zh"]) == set(texts["en"])
