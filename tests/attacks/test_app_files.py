"""No path that a stranger writes reaches a file, and no address that he writes is fetched."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from playground import resources
from tests.app.serving import Site

ROOT = Path(__file__).resolve().parents[2]
UP = "../" * 12
PLACES = (
    "/etc/passwd",
    "//etc/passwd",
    f"{UP}etc/passwd",
    f"/tmp/gradio/{UP}etc/passwd",
    "file:///etc/passwd",
    "/proc/self/environ",
    "/proc/self/cwd/pyproject.toml",
    "pyproject.toml",
    "./pyproject.toml",
    "../..",
    "",
    str(ROOT / "pyproject.toml"),
    str(resources.models_dir() / "playground-mini" / "config.json"),
    "C:\\Windows\\win.ini",
    "\\\\host\\share",
    "http://127.0.0.1:1/",
    "http://169.254.169.254/latest/meta-data/",
)
FOLDERS = ("static", "assets", "svelte", "static/img", "gradio_api/custom_component")
REFUSED = (400, 403, 404, 405, 422)
CONTENT = (b"root:", b"[project]", b"PATH=", b"model_type", b"for 16-bit")


def encoded(path: str, signs: dict[str, str]) -> str:
    return "".join(signs.get(sign, sign) for sign in path)


SPELLINGS = {
    "plain": {"\\": "%5C"},
    "slashes": {"\\": "%5C", "/": "%2f"},
    "dots": {"\\": "%5C", ".": "%2e"},
    "twice": {"\\": "%255C", "/": "%252f", ".": "%252e"},
}


def refused(answer: tuple[int, bytes]) -> bool:
    status, body = answer
    return status in REFUSED and not any(part in body for part in CONTENT) and len(body) < 400


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("place", PLACES)
def test_no_file_is_served(site: Site, place, spelling):
    path = encoded(place, SPELLINGS[spelling])
    for route in (
        "/gradio_api/file=",
        "/gradio_api/file/",
        "/file=",
        "/file/",
        "/gradio_api/proxy=",
    ):
        assert refused(site.get(route + path)), route


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("folder", FOLDERS)
def test_nobody_climbs_out_of_a_folder(site, folder, spelling):
    for target in ("etc/passwd", str(ROOT / "pyproject.toml").lstrip("/")):
        assert refused(site.get(f"/{folder}/" + encoded(UP + target, SPELLINGS[spelling])))


def test_what_is_refused_is_there(site):
    """The tests above would pass for files that do not exist, and for a server that is down."""
    assert b"root:" in Path("/etc/passwd").read_bytes()
    assert b"[project]" in (ROOT / "pyproject.toml").read_bytes()
    assert site.get("/robots.txt") == (200, b"User-agent: *\nDisallow: ")


@pytest.mark.parametrize("name", ["../../x", "/etc/passwd", "sentiment/../../x", "sentiment.json"])
def test_a_card_is_picked_from_the_list_only(site, name):
    state, data = site.call("choose", [name])
    assert state == "error"
    assert data["error"].startswith(
        f"Value: {name} is not in the list of choices: ['acceptability'"
    )


def test_an_upload_is_small_and_is_never_shown_as_a_page(site):
    url = f"{site.url}/gradio_api/upload"
    large = httpx.post(url, files={"files": ("x.bin", b"0" * (2 << 20))})
    assert large.status_code == 413
    page = httpx.post(url, files={"files": ("../../x.html", b"<script>alert(1)</script>")})
    (stored,) = page.json()
    assert Path(stored).name == "x.html"
    assert ".." not in stored
    served = httpx.get(f"{site.url}/gradio_api/file={stored}")
    assert served.headers["content-type"] == "application/octet-stream"
    assert served.headers["content-disposition"].startswith("attachment")
    Path(stored).unlink()
