"""The page's routes: every module that has a page adds it to the one router."""

from __future__ import annotations

from fastapi.responses import FileResponse, Response

from monitor.pages import costs, home, one_session, queues, static, tasks
from monitor.pages.shell import router

__all__ = ["costs", "home", "one_session", "queues", "router", "tasks"]


@router.get("/static/{name}")
def file(name: str) -> Response:
    """The sheet, the scripts, the icon."""
    path = static.FILES.get(name)
    if path is None:
        return Response("there is no such file", 404, media_type="text/plain")
    # (Asked for anew each time, and answered with "not modified": an upgrade shows at once.)
    return FileResponse(path, media_type=static.TYPES[path.suffix], headers={"Cache-Control": "no-cache"})


@router.get("/favicon.ico")
def icon() -> Response:
    """The icon, where a browser looks for one of a page that names none."""
    return file("icon.svg")
