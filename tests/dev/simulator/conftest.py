"""A simulator of each site, and the ways to send it requests."""

import base64
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests
from comfyui_siliconflow.dev.simulator import Simulator
from PIL import Image

Post = Callable[..., requests.Response]

KOLORS = {
    "model": "Kwai-Kolors/Kolors",
    "prompt": "a lighthouse",
    "image_size": "320x240",
    "batch_size": 1,
    "num_inference_steps": 20,
    "guidance_scale": 7.5,
}


class Clock:
    """A clock that a test turns on by hand."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def generate(simulator: Simulator, body: Any = None, **changes: Any) -> requests.Response:
    """Request images: a good Kolors request, or another one, with some fields changed."""
    content = {**(KOLORS if body is None else body), **changes}
    headers = {"Authorization": f"Bearer {simulator.key}"}
    url = f"{simulator.base_url}/images/generations"
    return requests.post(url, json=content, headers=headers, timeout=20)


def post(simulator: Simulator, path: str, body: Any = None, **how: Any) -> requests.Response:
    """Ask any endpoint: with JSON, or with `files` and `data` of a form."""
    headers = {"Authorization": f"Bearer {simulator.key}"}
    how = {"json": body, **how} if body is not None else how
    return requests.post(simulator.base_url + path, headers=headers, timeout=20, **how)


def chat(simulator: Simulator, said: Any, **changes: Any) -> requests.Response:
    """Say something to a chat model."""
    body = {"model": "Qwen/Qwen2.5-7B-Instruct", "messages": [{"role": "user", "content": said}]}
    return post(simulator, "/chat/completions", {**body, **changes})


def get(simulator: Simulator, path: str, **params: str) -> requests.Response:
    headers = {"Authorization": f"Bearer {simulator.key}"}
    return requests.get(simulator.base_url + path, headers=headers, params=params, timeout=20)


def encode(image: Image.Image, kind: str = "PNG", **how: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **how)
    return buffer.getvalue()


def to_data_url(content: bytes, media_type: str = "image/png") -> str:
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"


def open_first(response: requests.Response) -> Image.Image:
    content = requests.get(response.json()["images"][0]["url"], timeout=20).content
    return Image.open(io.BytesIO(content))


@pytest.fixture(name="generate")
def generate_fixture() -> Post:
    return generate


@pytest.fixture(name="post")
def post_fixture() -> Post:
    return post


@pytest.fixture(name="chat")
def chat_fixture() -> Post:
    return chat


@pytest.fixture(name="get")
def get_fixture() -> Post:
    return get


@pytest.fixture(name="encode")
def encode_fixture() -> Callable[..., bytes]:
    return encode


@pytest.fixture(name="to_data_url")
def to_data_url_fixture() -> Callable[..., str]:
    return to_data_url


@pytest.fixture(name="open_first")
def open_first_fixture() -> Callable[[requests.Response], Image.Image]:
    return open_first


@pytest.fixture
def kolors() -> dict[str, Any]:
    return dict(KOLORS)


@pytest.fixture
def red_square() -> str:
    return to_data_url(encode(Image.new("RGB", (320, 320), (255, 0, 0))))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def simulator(clock: Clock) -> Iterator[Simulator]:
    with Simulator(clock=clock) as running:
        yield running


@pytest.fixture(scope="session")
def sites() -> Iterator[dict[str, Simulator]]:
    with (
        Simulator(site="cn", balance="100000") as china,
        Simulator(site="com", balance="100000") as international,
    ):
        yield {"cn": china, "com": international}


@pytest.fixture
def together() -> Callable[..., list[requests.Response]]:
    """Make the same call several times at once."""

    def call(work: Callable[[], requests.Response], times: int) -> list[requests.Response]:
        with ThreadPoolExecutor(times) as pool:
            return [future.result() for future in [pool.submit(work) for _ in range(times)]]

    return call
