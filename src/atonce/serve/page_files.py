"""The files of the page: read once, and found by their exact names, so that no name is a path."""

import functools
from dataclasses import dataclass
from importlib import resources

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from atonce.figures import vega
from atonce.figures.style import DARK, LIGHT, Palette
from atonce.serve.errors import not_found

SCRIPT = "vega.js"
"""The name of the script that draws figures."""
_TYPES = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """The bytes of a file, and their media type."""

    content: bytes
    media_type: str


def page_routes() -> APIRouter:
    """The documents of the page and their files. They are not in the description of the interface."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> Response:
        return _sent(page_files()["index.html"])

    @router.get("/docs")
    async def docs() -> Response:
        return _sent(page_files()["docs.html"])

    @router.get("/page/{name}")
    async def page_file(name: str) -> Response:
        if name == SCRIPT:  # 0.9 MB that are put together once: beside the event loop
            return _sent(await run_in_threadpool(drawing_script))
        if name not in page_files():
            raise not_found("no such file", why="the page has none of this name", fix="open /")
        return _sent(page_files()[name])

    return router


def _sent(file: PageFile) -> Response:
    # Browsers ask again each time, or a page would meet scripts of the version before.
    return Response(file.content, media_type=file.media_type, headers={"Cache-Control": "no-cache"})


@functools.cache
def page_files() -> dict[str, PageFile]:
    """All files of the page by name, but for the script that draws figures."""
    # Colours stand once, in `figures.style`: the page takes them from there, as figures do.
    folder = resources.files("atonce.serve") / "page"
    found = {
        entry.name: PageFile(entry.read_bytes(), _TYPES[entry.name.rpartition(".")[2]])
        for entry in folder.iterdir()
        if entry.is_file()
    }
    return found | {"palette.css": PageFile(_palettes().encode(), _TYPES["css"])}


@functools.cache
def drawing_script() -> PageFile:
    """The script that draws figures: about 0.9 MB, which the page loads once it has one to draw."""
    return PageFile(vega.script("globalThis.vegaEmbed = vegaEmbed;").encode(), _TYPES["js"])


def _palettes() -> str:
    """The colours of all figures, for the style of the page."""
    return (
        f":root {{ {_variables(LIGHT)} }}\n"
        f"@media (prefers-color-scheme: dark) {{ :root {{ {_variables(DARK)} }} }}\n"
    )


def _variables(palette: Palette) -> str:
    colours = {
        "paper": palette.background,
        "ink": palette.ink,
        "faint": palette.faint,
        "low": palette.ramp[0],
        "edge": f"color-mix(in oklab, {palette.faint} 45%, transparent)",
        "on-low": palette.number_on_low,
        "on-high": palette.number_on_high,
        **{f"ramp-{step}": colour for step, colour in enumerate(palette.ramp)},
        **{f"against-{step}": colour for step, colour in enumerate(palette.against)},
    }
    return " ".join(f"--{name}: {colour};" for name, colour in colours.items())
