"""Which images an edit refers to: sockets, batches, addresses, and what a prompt calls them."""

import re
from typing import Any, Literal

import pytest
import torch
from comfyui_siliconflow.engine.job import Plan
from comfyui_siliconflow.nodes.widgets import tooltip
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.siliconflow.errors import InvalidInput
from comfyui_siliconflow.storage.settings import Settings
from comfyui_siliconflow.tasks.image_inputs import ONE_EDIT, Reference, with_references
from comfyui_siliconflow.tasks.image_tasks import plan_images
from hypothesis import assume, given
from hypothesis import strategies as st

MULTI_EDIT = "Qwen/Qwen-Image-Edit-2509"
SOCKETS = ("image", "image2", "image3", "references")
CAT, DOG = "https://example.com/cat.png", "https://example.com/dog.png?sign=1"
MODEL = catalogue.load().find(MULTI_EDIT, "cn")


def frames(count: int = 1, height: int = 8) -> torch.Tensor:
    return torch.arange(count).reshape(-1, 1, 1, 1).expand(count, height, 8, 3) / 8.0


def edit(**inputs: Any) -> Plan:
    values = {"model": MULTI_EDIT, "prompt": "a cat", **inputs}
    return plan_images("image-edit", SOCKETS, values, Settings())


def sent(plan: Plan) -> list[dict[str, Any]]:
    """Return what each request holds of every image: its URL, or its height and which frame."""
    return [
        {
            **{wire: request.body[wire] for wire in MODEL.images if wire in request.body},
            **{
                wire: (
                    len(images[0]),
                    round(float(images[min(request.frame, len(images) - 1)].max()) * 8),
                )
                for wire, images in plan.images.items()
            },
        }
        for request in plan.requests
    ]


@pytest.mark.parametrize("batch", ["image", "image2", "image3"])
def test_a_single_frame_goes_with_every_frame_whichever_socket_has_the_batch(batch: str) -> None:
    images = {name: frames(3 if name == batch else 1) for name in SOCKETS[:3]}
    expected = [
        {name: (8, frame if name == batch else 0) for name in SOCKETS[:3]} for frame in range(3)
    ]
    assert sent(edit(**images)) == expected


def test_a_batch_in_references_goes_with_every_edit() -> None:
    requests = sent(edit(image=frames(2), references=frames(2, height=9)))
    assert requests == [
        {"image": (8, frame), "image2": (9, 0), "image3": (9, 1)} for frame in range(2)
    ]


def test_a_batch_may_be_the_references_of_one_edit_beside_an_image_of_another_size() -> None:
    plan = edit(image=frames(2), image2=frames(height=9), batch_means=ONE_EDIT)
    assert sent(plan) == [{"image": (8, 0), "image2": (8, 1), "image3": (9, 0)}]
    assert plan.input_names == {"image": "image", "image2": "image", "image3": "image2"}
    assert plan.first_frames == {"image": 0, "image2": 1, "image3": 0}


def test_references_alone_are_enough() -> None:
    assert sent(edit(references=frames(3))) == [
        {"image": (8, 0), "image2": (8, 1), "image3": (8, 2)}
    ]


def test_addresses_come_first_and_are_sent_as_they_are() -> None:
    plan = edit(image_urls=f" {CAT}\n\n{DOG}\n", image=frames(2), prompt="@image3 @image1")
    assert sent(plan) == [{"image": CAT, "image2": DOG, "image3": (8, frame)} for frame in range(2)]
    assert plan.requests[0].body["prompt"] == "Picture 3 Picture 1"


def test_with_an_address_no_image_must_be_connected() -> None:
    assert sent(edit(image_urls=CAT)) == [{"image": CAT}]
    plan = plan_images(
        "image-to-image",
        ("image",),
        {"model": "Kwai-Kolors/Kolors", "prompt": "a cat", "image_urls": CAT},
        Settings(),
    )
    assert plan.requests[0].body["image"] == CAT


@pytest.mark.parametrize(
    "address",
    [
        "http://example.com/cat.png",
        "data:image/png;base64,AAAA",
        "/home/me/cat.png",
        "https://",
        "https://me:secret@example.com/cat.png",
        "https://example.com/a cat.png",
        "https://[::1/cat.png",
        "https://example.com/" + "a" * 2048,
    ],
)
def test_what_is_no_public_address_is_refused_by_its_line_and_never_shown(address: str) -> None:
    with pytest.raises(InvalidInput, match="line 2 is not") as caught:
        edit(image_urls=f"{CAT}\n{address}")
    assert caught.value.name == "image_urls"
    assert address not in str(caught.value)


@pytest.mark.parametrize(
    ("inputs", "name"),
    [
        ({"image": frames(), "references": frames(3)}, "references"),
        ({"image": frames(4), "batch_means": ONE_EDIT}, "image"),
        ({"image_urls": f"{CAT}\n" * 4}, "image_urls"),
        ({"image_urls": f"{CAT}\n" * 3, "image": frames()}, "image"),
    ],
)
def test_more_images_than_the_model_takes_are_refused_before_anything_is_sent(
    inputs: dict[str, Any], name: str
) -> None:
    with pytest.raises(InvalidInput, match="accepts 3 images and 4 are given") as caught:
        edit(**inputs)
    assert caught.value.name == name


def test_a_word_for_batches_that_does_not_exist_is_refused() -> None:
    with pytest.raises(InvalidInput) as caught:
        edit(image=frames(), batch_means="all")
    assert caught.value.name == "batch_means"


@given(
    counts=st.dictionaries(st.sampled_from(SOCKETS), st.integers(1, 4), min_size=1),
    urls=st.integers(0, 2),
    one_edit=st.booleans(),
)
def test_every_frame_of_every_batch_is_sent_or_the_run_is_refused(
    counts: dict[str, int], urls: int, one_edit: bool
) -> None:
    images = {name: frames(count) for name, count in counts.items()}
    means = {"batch_means": ONE_EDIT} if one_edit else {}
    together = {name: count for name, count in counts.items() if one_edit or name == "references"}
    batches = {count for name, count in counts.items() if name not in together and count > 1}
    places = urls + sum(together.values()) + len(counts) - len(together)
    try:
        plan = edit(image_urls=f"{CAT}\n" * urls, **images, **means)
    except InvalidInput:
        is_missing = not urls and not counts.keys() & {"image", "references"}
        assert is_missing or places > 3 or len(batches) > 1
        return
    assert len(plan.requests) == max(batches, default=1)
    assert all(len(each) == places for each in sent(plan))
    values = [value for each in sent(plan) for value in each.values()]
    longest = max(counts.values())
    assert {(8, frame) for frame in range(longest)} <= {value for value in values if value != CAT}


def references(count: int) -> list[Reference]:
    return [Reference("image", number) for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("prompt", "meant"),
    [
        ("@image", "Picture 1"),
        ("@Image1@image2", "Picture 1Picture 2"),
        ("(@IMAGE2), @image.", "(Picture 2), Picture 1."),
        ("\u628a@image2\u7684\u5e3d\u5b50", "\u628aPicture 2\u7684\u5e3d\u5b50"),
        ("me@image.com me@image1@image2", "me@image.com me@image1@image2"),
        ("by @images, @imageFoo and @image_lab", "by @images, @imageFoo and @image_lab"),
        ("@image1@imageFoo", "Picture 1@imageFoo"),
        ("jos\u00e9@image.com jose\u0301@image", "jos\u00e9@image.com jose\u0301@image"),
        ("ng\u1ecdc@image @image\u00e9", "ng\u1ecdc@image @image\u00e9"),
        (
            "foo+@image.org a-b-@image2 @image2@mail.org",
            "foo+@image.org a-b-@image2 @image2@mail.org",
        ),
        ("see @image.bank/a.png", "see @image.bank/a.png"),
        ("- @image2.Then -@image2", "- Picture 2.Then -Picture 2"),
        ("\u8d34\u5230@image2\u3002 2\u00d7@image", "\u8d34\u5230Picture 2\u3002 2\u00d7Picture 1"),
    ],
)
def test_a_tag_is_a_whole_word_or_stands_beside_another(prompt: str, meant: str) -> None:
    assert with_references(prompt, references(2), MODEL) == meant


@pytest.mark.parametrize(
    ("language", "files"), [("en", "images and workflows"), ("zh", "图片与工作流")]
)
def test_what_a_user_writes_is_said_to_be_saved_where_it_may_be_secret(
    language: Literal["en", "zh"], files: str
) -> None:
    for name in ("image_urls", "extra_body"):
        assert files in tooltip("input", "image-edit", name).in_language(language)


def test_a_tag_of_no_image_is_refused_by_its_name() -> None:
    for tag in ("@image0", "@image3"):
        with pytest.raises(InvalidInput, match=tag):
            with_references(f"put {tag} there", references(2), MODEL)


def as_core_reads_it(prompt: str) -> str:
    """Return a prompt as ComfyUI's own Qwen node resolves it, with this model's words."""
    parts, at, end = [], 0, -1
    for tag in re.finditer(r"@image(\d*)(?!\w)", prompt, re.IGNORECASE | re.ASCII):
        before = prompt[tag.start() - 1 : tag.start()]
        if before and tag.start() != end and (before.isalnum() or before == "_"):
            continue
        parts += [prompt[at : tag.start()], f"Picture {int(tag[1] or 1)}"]
        at = end = tag.end()
    return "".join([*parts, prompt[at:]])


@given(st.lists(st.sampled_from(["@image", "1", "2", "a", "_", ".", " ", "@", "e"])).map("".join))
def test_tags_are_read_as_core_reads_them(prompt: str) -> None:
    """But for addresses, which core's nodes rewrite if they begin with a tag."""
    assume(not re.search(r"@image\d*(?:\.[a-z]|@(?!image)\w)", prompt))
    known = [
        Reference("image", number)
        for number in {int(n) for n in re.findall(r"\d{1,9}", prompt)} | {1}
    ]
    places = {each.number: f"Picture {place}" for place, each in enumerate(known, 1)}
    expected = re.sub(
        r"Picture (\d+)", lambda tag: places.get(int(tag[1]), tag[0]), as_core_reads_it(prompt)
    )
    if len(max(re.findall(r"\d+", prompt), key=len, default="")) < 9:
        assert with_references(prompt, known, MODEL) == expected
