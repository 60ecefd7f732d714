"""What installers read agrees with itself."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import fields
from pathlib import Path
from typing import Any

import comfyui_siliconflow
import pytest
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS
from comfyui_siliconflow.siliconflow import catalogue
from comfyui_siliconflow.siliconflow.client import VERSION
from comfyui_siliconflow.siliconflow.resources import (
    account,
    chat,
    embeddings,
    images,
    models,
    rerank,
)
from comfyui_siliconflow.siliconflow.resources import (
    audio as speech,
)
from comfyui_siliconflow.storage.settings import Settings
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parent.parent
PACK = "comfyui_siliconflow"
ENDPOINTS = (
    account.PATH,
    chat.PATH,
    embeddings.PATH,
    images.PATH,
    models.PATH,
    rerank.PATH,
    speech.SPEECH_PATH,
    speech.TRANSCRIPTIONS_PATH,
    speech.UPLOAD_PATH,
    speech.VOICES_PATH,
    speech.DELETIONS_PATH,
)
LINES_ABOVE_THE_FOLD = 20
LARGEST_MOVING_IMAGE = 2_000_000
LARGEST_README = 20_000
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
"""What is read of the project as it lies in the repository."""


@pytest.fixture
def pyproject() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_requirements_and_pyproject_agree(pyproject: dict[str, Any]) -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [line for line in lines if line and not line.startswith("#")]
    assert wanted == pyproject["project"]["dependencies"]


def test_torch_is_never_among_what_a_manager_installs(pyproject: dict[str, Any]) -> None:
    names = {re.split(r"\W", item)[0] for item in pyproject["project"]["dependencies"]}
    assert names == {"requests", "pillow", "numpy"}


def test_the_version_that_the_service_gets_is_the_pack_s(pyproject: dict[str, Any]) -> None:
    assert pyproject["project"]["version"] == VERSION


def test_every_package_is_installed(pyproject: dict[str, Any]) -> None:
    folders = {path.parent.relative_to(ROOT) for path in ROOT.glob("*/**/__init__.py")}
    packages = {
        ".".join(("comfyui_siliconflow", *folder.parts))
        for folder in folders
        if folder.parts[0].isidentifier() and folder.parts[0] not in {"tests", "dev"}
    }
    assert set(pyproject["tool"]["setuptools"]["packages"]) == {"comfyui_siliconflow", *packages}


def test_the_page_s_files_are_installed(pyproject: dict[str, Any]) -> None:
    """ComfyUI serves them from where the pack says, whether it was cloned or installed."""
    data = pyproject["tool"]["setuptools"]["package-data"]["comfyui_siliconflow"]
    assert f"{comfyui_siliconflow.WEB_DIRECTORY.removeprefix('./')}/**/*" in data


def test_what_the_registry_leaves_out_is_named_from_the_root() -> None:
    """As in .gitignore: without the slash, `docs/` would leave out the help in `web/docs` too."""
    lines = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    assert "/docs/" in lines
    assert all(line.startswith("/") and (ROOT / line.strip("/")).is_dir() for line in lines)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copy what the Registry ships: `.comfyignore` has the syntax of `.gitignore`."""
    folder = tmp_path_factory.mktemp("registry") / PACK
    for name in sorted(_tracked() - _tracked("-i", "--exclude-from=.comfyignore")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def _tracked(*options: str) -> set[str]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a clone")
    command = ["git", "ls-files", "-z", "-c", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return set(filter(None, done.stdout.split("\0")))


def _python(archive: Path, *arguments: str) -> str:
    """Run Python where this clone is not installed: `-S` ignores what `pip install -e` left."""
    folders = (archive.parent, sysconfig.get_path("purelib"), sysconfig.get_path("platlib"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, folders))}
    done = subprocess.run(
        [sys.executable, "-S", *arguments],
        cwd=archive.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_registry_ships_the_pack_and_nothing_of_its_development(archive: Path) -> None:
    folders = {path.name for path in archive.iterdir() if path.is_dir()}
    product = {"comfyui", "engine", "media", "nodes", "server", "siliconflow", "storage", "tasks"}
    assert folders == {*product, "strings", "web", "locales", "example_workflows", "subgraphs"}
    files = [path.relative_to(archive).as_posix() for path in archive.rglob("*") if path.is_file()]
    assert [name for name in files if re.search(r"test|simulator|generators|benchmark", name)] == []
    assert {"__init__.py", "pyproject.toml", "requirements.txt", "LICENSE"} <= set(files)
    assert "web/docs/SiliconFlowChat/en.md" in files


def test_the_shipped_command_line_offers_check_alone(archive: Path) -> None:
    output = _python(archive, "-m", PACK, "--help")
    assert re.findall(r"^    (\w+)  ", output, re.MULTILINE) == ["check"]


def test_the_shipped_pack_is_imported_with_all_its_nodes(archive: Path) -> None:
    program = f"""
import {PACK} as pack
assert pack.__file__.startswith({str(archive)!r}), pack.__file__
for node in pack.NODE_CLASS_MAPPINGS.values():
    print(node.__name__, *node.INPUT_TYPES())
import {PACK}.tasks.registry
"""
    assert len(_python(archive, "-c", program).splitlines()) == len(NODE_CLASS_MAPPINGS)


def test_the_registry_finds_what_it_asks_for(pyproject: dict[str, Any]) -> None:
    project, comfy = pyproject["project"], pyproject["tool"]["comfy"]
    assert project["name"] == "siliconflow-nodes"
    assert comfy["DisplayName"] == "SiliconFlow Nodes"
    assert re.fullmatch(r"\d+\.\d+\.\d+", project["version"])
    assert project["license"] == {"file": "LICENSE"}
    assert project["urls"]["Repository"].startswith("https://github.com/")
    assert {"PublisherId", "requires-comfyui"} <= set(comfy)


def test_the_registry_gets_images_of_the_shapes_that_it_shows(pyproject: dict[str, Any]) -> None:
    """A banner is 21:9, an icon a square, and both are files of the repository."""
    comfy, urls = pyproject["tool"]["comfy"], pyproject["project"]["urls"]
    raw = urls["Repository"].replace("github.com", "raw.githubusercontent.com") + "/main/"
    files = [ROOT / comfy[name].removeprefix(raw) for name in ("Icon", "Banner")]
    assert [file.is_file() for file in files] == [True, True]
    icon, banner = files
    assert '<svg xmlns="http://www.w3.org/2000/svg" width="400" height="400"' in icon.read_text()
    with Image.open(banner) as image:
        assert image.width * 9 == image.height * 21


def _rows(text: str, model: catalogue.Model) -> list[str]:
    """Return the rows of a model, which name its site where both sites may have it."""
    rows = [line for line in text.splitlines() if line.startswith(f"| {model.id} |")]
    return [row for row in rows if f"| {model.site} |" in row] or rows


@pytest.mark.parametrize(
    ("name", "free"), [("docs/models.md", "free"), ("docs/models.zh-CN.md", "免费")]
)
def test_both_languages_list_every_living_model_with_its_price(name: str, free: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    living = [model for model in catalogue.load().models if not model.is_retired]
    assert living
    for model in living:
        [row] = _rows(text, model)
        price = model.price or {}
        numbers = [value for value in price.values() if isinstance(value, int | float)]
        words = [f"{value:g}" for value in numbers if value] or [free] * bool(numbers)
        assert [word for word in words if not re.search(rf"[ （(]{word}\b", row)] == [], model.id
        assert str(price.get("as_of", "")) in text


@pytest.mark.parametrize("name", ["docs/models.md", "docs/models.zh-CN.md"])
def test_both_languages_name_every_retired_model_once_with_its_day(name: str) -> None:
    lines = (ROOT / name).read_text(encoding="utf-8").splitlines()
    retired = [model for model in catalogue.load().models if model.is_retired]
    assert retired
    for model in retired:
        dated = (line for line in lines if re.match(r"- (before )?20\d\d-", line))
        [line] = [line for line in dated if f"`{model.id}`" in line]
        assert str(model.retired or model.retired_by) in line


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_both_readmes_show_first_what_it_is_how_it_moves_and_how_to_begin(name: str) -> None:
    head, _, rest = (ROOT / name).read_text(encoding="utf-8").partition("\n## ")
    [moving] = re.findall(r"\]\((docs/images/[\w-]+\.webp)\)", head)
    assert re.findall(r"^\d\. \*\*", head, re.MULTILINE) == ["1. **", "2. **", "3. **"]
    assert len(head.splitlines()) < LINES_ABOVE_THE_FOLD
    assert "comfy node install siliconflow-nodes" in rest
    assert (ROOT / moving).stat().st_size < LARGEST_MOVING_IMAGE
    with Image.open(ROOT / moving) as image:
        assert getattr(image, "n_frames", 1) > 1


@pytest.mark.parametrize("name", ["docs/settings.md", "docs/settings.zh-CN.md"])
def test_both_languages_list_every_setting(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for setting in fields(Settings):
        assert f"| `{setting.name}` |" in text


@pytest.mark.parametrize("name", ["docs/nodes.md", "docs/nodes.zh-CN.md"])
def test_both_languages_list_every_endpoint_and_every_node(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    for path in ENDPOINTS:
        assert re.search(rf"\| `(GET|POST) /{path}` \|", text), path
    assert NODE_CLASS_MAPPINGS
    for node_id in NODE_CLASS_MAPPINGS:
        assert f"| `{node_id}` |" in text


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_every_link_inside_the_repository_leads_somewhere(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    targets = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert targets or file.name not in {"README.md", "README.zh-CN.md"}
    for target in targets:
        path, _, heading = target.partition("#")
        other = (file.parent / path) if path else file
        assert other.exists(), target
        assert not heading or heading in _headings(other), target


def _headings(file: Path) -> list[str]:
    """Return what each heading is called in a link."""
    titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


def test_both_languages_have_the_same_pages() -> None:
    chinese = {file.name.replace(".zh-CN", "") for file in PAGES if ".zh-CN" in file.name}
    assert chinese == {"README.md", "models.md", "nodes.md", "settings.md", "troubleshooting.md"}
    for name in chinese:
        texts = [
            each.read_text(encoding="utf-8")
            for each in PAGES
            if each.name.replace(".zh-CN", "") == name
        ]
        english, other = [
            (text.count("\n#"), text.count("\n|"), text.count("](")) for text in texts
        ]
        assert english == other, name


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_a_readme_is_read_in_a_few_minutes(name: str) -> None:
    assert (ROOT / name).stat().st_size < LARGEST_README
