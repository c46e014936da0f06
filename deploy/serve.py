"""Show a page in the browser on which anybody can try a bundle: drop an image, see its objects.

    python -m deploy.serve model.maskline.zip [--port 8000]

Reads  a bundle. Images come from the page; nothing else of this machine can be reached through it.
Writes nothing that stays: what is found lies in a temporary folder until the page is closed, other
       images take its place, or this command ends (Ctrl-C).

The page (deploy/page/) asks no other machine for anything. It is shown to this machine alone unless
--host says otherwise. Objects are those of deploy.apply, and so are the files to download.
"""

import argparse
import math
import os
import re
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from deploy.jobs import (
    FORMATS,
    LOWEST,
    PICTURE,
    SHOWN,
    UPLOAD,
    Desk,
    Job,
    download,
    forget,
    hand_over,
    new_job,
    open_desk,
    remove,
    told,
)
from src.base.errors import InputError
from src.predicting.allowed_views import NESTED
from src.scenes.model_calls import read_model

try:
    import uvicorn
    from fastapi import FastAPI, HTTPException, Request, Response
    from fastapi.concurrency import run_in_threadpool
    from fastapi.responses import FileResponse, JSONResponse
    from starlette.requests import ClientDisconnect
except ModuleNotFoundError as error:
    raise SystemExit(
        f"the page needs {error.name}, which is not installed: make serve installs it, or "
        "pip install -r requirements-serve.txt"
    ) from None

PAGE = Path(__file__).parent / "page"
PAGE_FILES = {  # by their addresses
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
LOOPBACK = ("127.0.0.1", "localhost", "::1")
HEADERS = {  # of every answer: the page runs its own code alone and asks nobody else
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([^:\[\]]*))(?::[0-9]*)?")  # with its port
MOST_PORT = 65535
ENDING = 3  # s, for answers on their way when all ends


def main(argv: list[str] | None = None) -> None:
    args = _arguments(argv)
    if not 0 <= args.port <= MOST_PORT:
        raise InputError(f"--port {args.port}: must be from 0 to {MOST_PORT}")
    for key in ("megabytes", "megapixels"):
        if not 0 < getattr(args, key) < math.inf:
            raise InputError(f"--{key} {getattr(args, key)}: must be above 0")
    family = socket.AF_INET6 if ":" in args.host else socket.AF_INET
    try:
        listening = socket.create_server((args.host, args.port), family=family)
    except OSError as error:
        words = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        raise InputError(
            f"--host {args.host} --port {args.port}: cannot be listened on ({words}); give another"
        ) from None
    with listening, open_desk(args.model, args.views, args.megapixels) as desk:
        app = make_app(desk, (args.host, *args.name), args.megabytes)
        host = f"[{args.host}]" if ":" in args.host else args.host
        address = f"http://{host}:{listening.getsockname()[1]}"
        print(f"Open {address} in a browser; Ctrl-C ends it", flush=True)
        options = {"log_level": "warning", "timeout_graceful_shutdown": ENDING}
        server = uvicorn.Server(uvicorn.Config(app, server_header=False, **options))
        server.run(sockets=[listening])


def make_app(desk: Desk, names: tuple[str, ...] = (), megabytes: float = 200) -> FastAPI:
    """Make the application of the page.

    Parameters
    ----------
    desk : Desk
        From `deploy.jobs.open_desk`.
    names : tuple of str
        Hosts that it answers to, besides those of this machine.
    megabytes : float
        Of the largest file that is taken.
    """
    # Its own pages about the addresses would load code from another host.
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    app.state.desk = desk
    app.state.names = {name.lower() for name in (*LOOPBACK, *names)}
    app.state.most_bytes = int(megabytes * 1e6)
    app.middleware("http")(guard)
    app.add_exception_handler(InputError, refuse)
    for address in PAGE_FILES:
        app.get(address)(page_file)
    app.get("/model")(about_model)
    app.post("/images", status_code=201)(take_image)
    app.get("/images/{job_id}")(image_state)
    app.get("/images/{job_id}/picture")(image_picture)
    app.get("/images/{job_id}/objects")(image_objects)
    app.get("/images/{job_id}/{form}")(image_download)
    app.delete("/images/{job_id}", status_code=204)(forget_image)
    return app


async def guard(request: Request, handle: Callable[[Request], Awaitable[Response]]) -> Response:
    """Answer only to the names of this machine, and to no page of another site."""
    host = request.headers.get("host", "")
    origin = request.headers.get("origin")
    names = request.app.state.names
    if _host_name(host) not in names:
        words = f"this page answers to {', '.join(sorted(names))}, not to '{host:.100}'; "
        answer = JSONResponse({"detail": words + "start it with --name for another"}, 403)
    elif origin is not None and urlsplit(origin).netloc != host:
        answer = JSONResponse({"detail": f"pages of '{origin:.100}' have no access"}, 403)
    else:
        answer = await handle(request)
    for name, value in HEADERS.items():
        answer.headers[name] = value
    return answer


def refuse(request: Request, error: Exception) -> Response:
    """Answer a mistake with its sentence."""
    return JSONResponse({"detail": str(error)}, 422)


def page_file(request: Request) -> FileResponse:
    name, kind = PAGE_FILES[request.url.path]
    return FileResponse(PAGE / name, media_type=kind)


def about_model(request: Request) -> dict[str, Any]:
    """Say what the page tells of the model, and what it takes."""
    desk = _desk(request)
    bundle = read_model(desk.model)
    return {
        "name": bundle.manifest.name,
        "objects": [one.name for one in bundle.manifest.categories],
        "score": bundle.learnt.point.score,
        "lowest": LOWEST,
        "megapixels": desk.megapixels,
        "bytes": request.app.state.most_bytes,
    }


async def take_image(request: Request) -> dict[str, str]:
    """Take the bytes of a file, named by the header X-File-Name, percent-encoded."""
    desk, most = _desk(request), request.app.state.most_bytes
    size = request.headers.get("content-length", "")
    _check_size(int(size) if size.isdecimal() else 0, most)
    job = new_job(desk, unquote(request.headers.get("x-file-name", "")))
    try:
        count = 0
        with (job.folder / UPLOAD).open("wb") as file:
            async for part in request.stream():
                count += len(part)
                _check_size(count, most)
                file.write(part)
        await run_in_threadpool(hand_over, desk, job)
    except ClientDisconnect:
        remove(job)
        raise HTTPException(400, "the upload was broken off") from None
    except BaseException:
        remove(job)
        raise
    return {"id": job.id}


def image_state(request: Request, job_id: str) -> dict[str, Any]:
    return told(_desk(request), _job(request, job_id))


def image_picture(request: Request, job_id: str) -> Response:
    content = _kept(request, job_id, PICTURE)
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    return Response(content, media_type=kind)


def image_objects(request: Request, job_id: str) -> Response:
    return Response(_kept(request, job_id, SHOWN), media_type="application/json")


def image_download(request: Request, job_id: str, form: str, score: float) -> Response:
    """Give the objects from a score on as a file of one of FORMATS."""
    if form not in FORMATS:
        raise HTTPException(404, f"'{form:.40}' is no format; known: {', '.join(FORMATS)}")
    name, content = download(_desk(request), _job(request, job_id), form, score)
    told_name = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}"}
    return Response(content, media_type="application/octet-stream", headers=told_name)


def forget_image(request: Request, job_id: str) -> Response:
    forget(_desk(request), job_id)
    return Response(status_code=204)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("model", type=Path, help="a bundle, NAME.maskline.zip")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one")
    parser.add_argument("--host", default=LOOPBACK[0],
                        help="address to listen on; other machines reach no 127.0.0.1")  # fmt: skip
    parser.add_argument("--name", action="append", default=[],
                        help="host name that it answers to as well; may be repeated")  # fmt: skip
    parser.add_argument("--views", choices=NESTED, help="fewer than the model predicts with")
    parser.add_argument("--megabytes", type=float, default=200, help="of the largest file")
    parser.add_argument("--megapixels", type=float, default=25, help="of the largest image")
    return parser.parse_args(argv)


def _desk(request: Request) -> Desk:
    return request.app.state.desk


def _job(request: Request, job_id: str) -> Job:
    job = _desk(request).jobs.get(job_id)
    if job is None:
        raise HTTPException(404, "this image is no longer kept here; hand it over again")
    return job


def _kept(request: Request, job_id: str, name: str) -> bytes:
    job = _job(request, job_id)
    with job.lock:
        if job.state.name != "done" or not (job.folder / name).is_file():
            raise HTTPException(404, f"{job.name}: there is nothing to show of it")
        return (job.folder / name).read_bytes()


def _check_size(count: int, most: int) -> None:
    if count > most:
        raise HTTPException(
            413,
            f"a file of more than {most / 1e6:g} MB is too large for this page; python -m "
            "deploy.apply takes files of any size, and --megabytes lets the page take larger ones",
        )


def _host_name(host: str) -> str:
    """Return the host without its port, in small letters; "" of what is none."""
    parts = HOST.fullmatch(host)
    return (parts[1] or parts[2]).lower() if parts else ""


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # so that the folder goes then too
    try:
        main()
    except InputError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        raise SystemExit from None
