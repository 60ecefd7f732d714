"""Events are read however the bytes are cut."""

from collections.abc import Iterator

import pytest
from comfyui_siliconflow.siliconflow.http import server_sent_events as sse

STREAM = (
    b': hello\n\nevent: message\ndata: {"a": "\xe7\x8c\xab"}\r\n\r\n'
    b"data:one\rdata: two\r\rid: 7\n\ndata: [DONE]\n\n"
)
EVENTS = ['{"a": "猫"}', "one\ntwo", "[DONE]"]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_events_do_not_depend_on_how_the_bytes_come(size: int) -> None:
    chunks = [STREAM[at : at + size] for at in range(0, len(STREAM), size)]
    assert list(sse.iter_events(chunks)) == EVENTS


def test_the_last_event_counts_without_the_empty_line_behind_it() -> None:
    assert list(sse.iter_events([b"data: one\n\ndata: [DONE]\n"])) == ["one", "[DONE]"]


def test_behind_the_last_word_nothing_is_waited_for() -> None:
    def chunks() -> Iterator[bytes]:
        yield b"data: one\n\ndata: [DONE]\n"
        raise AssertionError("it went on reading")

    assert list(sse.iter_events(chunks(), "[DONE]")) == ["one", "[DONE]"]


def test_a_line_that_was_cut_off_does_not_count() -> None:
    assert list(sse.iter_events([b'data: one\n\ndata: {"a'])) == ["one"]


def test_a_line_without_an_end_is_refused() -> None:
    with pytest.raises(sse.BadEvents):
        list(sse.iter_events(b"x" * 65536 for _ in range(100)))
