"""The HTTP interface of a served index: the JSON API, and the files of the page."""

import hashlib
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.params import Path as InPath
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException

from pipeline.operations.search.index import MOST
from pipeline.operations.search.serve.limits import BYTES, Bodies, error, uploaded
from pipeline.operations.search.serve.service import Service
from pipeline.runtime.errors import UserError

PAGE = Path(__file__).parent / "page"
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class Wanted(BaseModel):
    """Which results a search gives."""

    model_config = ConfigDict(extra="forbid")
    count: int = Field(20, ge=1, le=MOST, description="Number of results, at most.")
    radius: int | None = Field(None, ge=0, description="Largest Hamming distance of a result; any if left out.")


class WantedOfCode(Wanted):
    code: str = Field(description="The query's code: a digit 0 or 1 for each bit.")


class Shown(BaseModel):
    """An item of the index."""

    id: int
    name: str = Field(description="Path in its dataset or folder.")
    labels: list[str] = Field(description="Names of its classes; empty if they are unknown.")
    code: str = Field(description="A digit for each bit; 1 is +1, 0 is -1.")


class Result(Shown):
    distance: int = Field(description="Hamming distance from the query: the number of bits that differ.")


class Answer(BaseModel):
    """What a search found, nearest first; of equally near items, the one with the lowest id first."""

    code: str = Field(description="The query's code: a digit 0 or 1 for each bit.")
    results: list[Result]


class About(BaseModel):
    """The index that is served."""

    kind: str
    count: int = Field(description="Number of items.")
    code_length: int
    cell: str | None
    study: str | None
    dataset: str | None
    classes: list[str]
    vectors: bool = Field(description="Whether queries are vectors instead of images.")
    max_count: int = Field(description="Number of results of one search, at most.")
    max_bytes: int = Field(description="Size of an uploaded image, at most.")


class Health(BaseModel):
    status: str


class Failure(BaseModel):
    error: str = Field(description="What is wrong, in one line.")


Id = Annotated[int, InPath(description="Number of the item, from 0.")]
_FAILURES: dict[int | str, dict[str, Any]] = {"4XX": {"model": Failure}, "5XX": {"model": Failure}}
_IMAGE = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "required": True,
    "description": "An image file, as the whole body or as one file of a form; or a vector, for an index of vectors.",
    "content": {
        "image/*": _IMAGE,
        "multipart/form-data": {"schema": {"type": "object", "properties": {"image": _IMAGE["schema"]}}},
        "application/json": {
            "schema": {
                "type": "object",
                "properties": {"vector": {"type": "array", "items": {"type": "number"}}},
                "required": ["vector"],
            }
        },
    },
}


def create(service: Service, bodies: Bodies | None = None) -> FastAPI:
    """Make the application.

    Args:
        service: the opened index.
        bodies: the limits of requests' bodies.
    """
    # FastAPI's own pages of documentation load scripts from elsewhere.
    app = FastAPI(title="Image search by binary codes", version="1", docs_url=None, redoc_url=None, responses=_FAILURES)
    _add_failures(app)
    _add_searches(app, service, bodies or Bodies())
    _add_items(app, service)
    _add_page(app)
    return app


def _add_failures(app: FastAPI) -> None:
    """Every answer to what can't be answered is ``{"error": ...}`` of one line, without a path of this machine."""

    @app.exception_handler(HTTPException)
    async def refused(request: Request, why: HTTPException) -> Response:
        message = {
            "Not Found": "nothing is here; /openapi.json lists what there is",
            "Method Not Allowed": f"method: expected {(why.headers or {}).get('Allow')}",
        }.get(why.detail, why.detail)
        return error(why.status_code, message, dict(why.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def malformed(request: Request, why: RequestValidationError) -> Response:
        first = why.errors()[0]
        name, found = first["loc"][-1], repr(first["input"])
        return error(422, f"{name}: {first['msg']}; found {found if len(found) < 60 else found[:60] + '...'}")

    @app.exception_handler(UserError)
    async def mistaken(request: Request, why: UserError) -> Response:
        return error(422, str(why))

    @app.exception_handler(Exception)
    async def failed(request: Request, why: Exception) -> Response:
        # The server logs the exception with its traceback.
        return error(500, "the server failed to answer this; its log says why")


def _add_searches(app: FastAPI, service: Service, bodies: Bodies) -> None:
    @app.post("/api/search", response_model=Answer, openapi_extra={"requestBody": _BODY})
    async def search(request: Request, wanted: Annotated[Wanted, Query()]) -> Any:
        """Find the items that are nearest to an image or a vector."""
        async with bodies:
            body = await bodies.of(request)
            code = await service.code_of(uploaded(body, request.headers.get("content-type", "")))
        return await run_in_threadpool(service.search, code, wanted.count, wanted.radius)

    @app.get("/api/search", response_model=Answer)
    def search_code(wanted: Annotated[WantedOfCode, Query()]) -> Any:
        """Find the items that are nearest to a code."""
        return service.search(service.packed(wanted.code), wanted.count, wanted.radius)

    @app.get("/api/items/{id}/search", response_model=Answer)
    def search_item(id: Id, wanted: Annotated[Wanted, Query()]) -> Any:
        """Find the items that are nearest to an item, which is among them."""
        _check(service, id)
        return service.search(service.index.items.code(id), wanted.count, wanted.radius)


def _add_items(app: FastAPI, service: Service) -> None:
    @app.get("/api/index", response_model=About)
    def about() -> Any:
        """What the index holds."""
        manifest = service.index.manifest
        known = {name: manifest.get(name) for name in ("kind", "count", "code_length", "cell", "study", "dataset")}
        return known | {
            "classes": manifest.get("classes", []), "vectors": service.vectors, "max_count": MOST, "max_bytes": BYTES,
        }  # fmt: skip

    @app.get("/api/items/{id}", response_model=Shown)
    def item(id: Id) -> Any:
        """An item with its code."""
        _check(service, id)
        return service.item(id)

    @app.get("/api/items/{id}/thumbnail", response_class=Response, responses={200: {"content": {"image/*": _IMAGE}}})
    def thumbnail(id: Id, request: Request) -> Response:
        """A small image of an item, PNG or JPEG; vectors have none."""
        _check(service, id)
        image = service.index.items.thumbnail(id)
        if image is None:
            raise HTTPException(404, f"item {id} has no thumbnail")
        return _file(image, "image/png" if image.startswith(b"\x89PNG") else "image/jpeg", request)

    @app.get("/health", response_model=Health)
    async def health() -> Any:
        """Whether the server answers."""
        return {"status": "ok"}


def _check(service: Service, id_: int) -> None:
    if not service.has(id_):
        raise HTTPException(404, f"no item {str(id_)[:20]}; expected 0 to {service.index.count - 1}")


def _add_page(app: FastAPI) -> None:
    # They are read once: a request can't name any other file.
    files = {file.name: file.read_bytes() for file in PAGE.iterdir() if file.suffix in TYPES}

    @app.get("/", include_in_schema=False)
    @app.get("/page/{name}", include_in_schema=False)
    async def page(request: Request, name: str = "index.html") -> Response:
        if name not in files:
            raise HTTPException(404)
        return _file(files[name], TYPES[Path(name).suffix], request)


def _file(content: bytes, kind: str, request: Request) -> Response:
    """A file that the browser keeps, and asks for again only whether it has changed."""
    headers = {"etag": f'"{hashlib.sha256(content).hexdigest()[:32]}"', "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == headers["etag"]:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=kind, headers=headers)
