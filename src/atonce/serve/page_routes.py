"""The page itself. It is not in the description of the interface."""

from http import HTTPStatus

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from atonce.serve.faults import Fault
from atonce.serve.files import PageFile, drawing_script, page_files

SCRIPT = "vega.js"
"""What the page calls the script that draws figures."""


def page_routes() -> APIRouter:
    """Its documents, and the files they ask for."""
    router = APIRouter(include_in_schema=False)

    @router.get("/")
    async def page() -> Response:
        return _sent(page_files()["index.html"])

    @router.get("/docs")
    async def docs() -> Response:
        return _sent(page_files()["docs.html"])

    @router.get("/page/{name}")
    async def page_file(name: str) -> Response:
        if name == SCRIPT:
            return _sent(await run_in_threadpool(drawing_script))
        if name not in page_files():
            raise Fault(
                HTTPStatus.NOT_FOUND, "no such file", why="the page has none of this name", fix="open /"
            )
        return _sent(page_files()[name])

    return router


def _sent(file: PageFile) -> Response:
    return Response(file.content, media_type=file.media_type, headers={"Cache-Control": "no-cache"})
