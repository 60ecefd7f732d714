"""The page's scripts: their own tests run in Node, where there is one."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from comfyui_siliconflow.nodes import NODE_CLASS_MAPPINGS

ROOT = Path(__file__).parent.parent
NODE = shutil.which("node")
SCRIPTS = sorted((ROOT / "web" / "js").rglob("*.js"))
IMPORT = re.compile(r'^(?:import\b[^"\n]*|\} from )"([^"]+)"', re.MULTILINE)
ABSOLUTE = re.compile(r"""(?<!\.)\bfetch\(|XMLHttpRequest|["'`]/(?:api|extensions|scripts)/""")
COMFYUI = "../../../scripts/"
SCRIPTS_OF_RULES = ROOT / "web" / "js" / "logic"


@pytest.mark.skipif(
    NODE is None, reason="no Node.js here, which runs the tests of the page's scripts"
)
def test_the_tests_of_the_scripts_pass() -> None:
    files = sorted(str(file) for file in (ROOT / "tests" / "web").glob("*.test.mjs"))
    assert files
    ended = subprocess.run(
        [str(NODE), "--test", *files], capture_output=True, encoding="utf-8", check=False
    )
    assert ended.returncode == 0, ended.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda file: file.name)
def test_nothing_is_imported_or_requested_by_an_absolute_path(script: Path) -> None:
    """ComfyUI may be served below a path: only ComfyUI itself knows which."""
    code = script.read_text(encoding="utf-8")
    for name in IMPORT.findall(code):
        assert name.startswith(("./", "../"))
        assert name in {f"{COMFYUI}app.js", f"{COMFYUI}api.js"} or (script.parent / name).exists()
        assert not name.startswith(COMFYUI) or script.parent == ROOT / "web" / "js"
    assert not ABSOLUTE.search(code)


def test_the_page_knows_every_node_of_ours_by_its_id_and_no_other() -> None:
    """Ids of other packs begin with the same word, so no script may ask for that alone."""
    ids = re.findall(r'^  "(\w+)",$', (SCRIPTS_OF_RULES / "own_nodes.js").read_text(), re.MULTILINE)
    assert ids == list(NODE_CLASS_MAPPINGS)
    code = "".join(file.read_text(encoding="utf-8") for file in SCRIPTS)
    assert not re.search(r"""startsWith\(["'`]SiliconFlow""", code)


def test_only_scripts_that_comfyui_may_load_are_shipped() -> None:
    """ComfyUI runs every *.js below web/ as an extension; types are for the type checker alone."""
    others = {file.name for file in (ROOT / "web" / "js").rglob("*.*") if file.suffix != ".js"}
    assert others == {"types.d.ts"}


def test_what_checks_the_scripts_is_pinned_and_names_no_package_host() -> None:
    folder = ROOT / "dev" / "page"
    content = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    versions = content["devDependencies"].values()
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions)
    assert not [*folder.glob("*lock*")]
