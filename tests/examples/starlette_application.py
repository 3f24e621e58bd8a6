"""A Starlette application: ``MEDIA_DATABASE=media.db uvicorn starlette_application:app --workers 2``."""

from __future__ import annotations

import os

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

import reelbase
from reelbase import starlette as door


class Json(Response):
    """Any value that msgspec encodes, such as records and lists of them."""

    media_type = "application/json"

    def render(self, content: object) -> bytes:
        return msgspec.json.encode(content)


async def add_file(request: Request) -> Response:
    """Both rows or none, committed before the client reads 201."""
    profile_id = request.path_params["profile_id"]
    new = msgspec.json.decode(await request.body(), type=reelbase.NewFile)
    async with door.database_of(request).transaction() as unit:
        await unit.profiles.ensure(profile_id)
        (file,) = await unit.files.add_many(profile_id, [new])
        await unit.jobs.add(profile_id, "transcribe", {"file_id": str(file.id)}, max_attempts=3)
    return Json(file, status_code=201)


async def list_files(request: Request) -> Response:
    page = await door.database_of(request).files.page(
        request.path_params["profile_id"], **door.page_parameters(request)
    )
    return Json({"files": page, "next": page.next})


async def get_file(request: Request) -> Response:
    return Json(await door.database_of(request).files.get(request.path_params["file_id"]))


async def refuse_body(_request: Request, error: Exception) -> Response:
    return Json({"detail": str(error)}, status_code=422)


app = Starlette(
    routes=[
        Route("/profiles/{profile_id}/files", add_file, methods=["POST"]),
        Route("/profiles/{profile_id}/files", list_files),
        Route("/files/{file_id}", get_file),
    ],
    lifespan=door.lifespan(os.environ.get("MEDIA_DATABASE", "media.db")),
    exception_handlers={msgspec.MsgspecError: refuse_body},
)
door.install_error_handlers(app)
