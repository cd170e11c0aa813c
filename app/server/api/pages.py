"""Routes: pages and the files that they are made of.

Everything else that the relay answers is data under a policy that allows nothing; a page gets :data:`PAGE_POLICY` in
its place, and works offline: all that it needs comes from ``/static``, which asks for no token and holds no secrets.

A page names its files by a folder that carries their common hash, ``/static/v-3f9a…/js/main.js``: a browser keeps them
for good and asks for none of them again, and the imports between modules, which are relative, stay inside it.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections import deque
from functools import lru_cache
from pathlib import Path, PurePosixPath

from flask import Blueprint, Response, request
from werkzeug.exceptions import NotFound
from werkzeug.security import safe_join

from app import __version__, paths
from app.server.api.compress import compress_file

blueprint = Blueprint("pages", __name__)

#: No inline script or style, nothing from elsewhere, no frames around it, no HTML made from strings.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'; require-trusted-types-for 'script'"
)

#: The dashboard's screens beside its first; each is an address that can be opened and kept.
SCREENS = ("agents", "threads", "tasks", "map", "timeline", "integrations", "join", "system")

#: Modules that every screen needs: asked for at once, not one import after the other.
_SHARED = ("vendor/*.js", "js/lib.js", "js/core/*.js", "js/ui/*.js", "js/screens/index.js")

#: Said here rather than asked of the system, whose own table may know ``.js`` as text/plain. Nothing else is served: a
#: page in particular has a route of its own, and with it the policy for pages.
_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json",
}
_VERSIONED = re.compile(r"v-[0-9a-f]{16}/")
#: The folder that pages were handed out with last. To look at all files again for each costs more than it does.
_handed_out: deque[str] = deque(maxlen=1)
_FOR_GOOD = "public, max-age=31536000, immutable"


@blueprint.get("/")
@blueprint.get(f"/<any({','.join(SCREENS)}):screen>", strict_slashes=False)
@blueprint.get(f"/<any({','.join(SCREENS)}):screen>/<path:rest>")
def dashboard(screen: str = "", rest: str = "") -> Response:
    """The dashboard: one page, which draws the screen that its address names and fetches the others later."""
    root = paths.static_dir()
    folder = f"/static/{_version(root)}"
    _handed_out.append(folder[len("/static/") :])
    name = screen or "now"
    modules = sorted(
        path
        for pattern in (*_SHARED, f"js/screens/{name}.js", f"js/screens/{name}/*.js")
        for path in root.glob(pattern)
    )
    styles = sorted(root.glob(f"css/screens/{name}*.css"))
    return page(
        "index.html",
        folder=folder,
        preload=_links('rel="modulepreload"', modules, folder),
        styles=_links('rel="stylesheet"', styles, folder),
    )


def _links(what: str, files: list[Path], folder: str) -> str:
    root = paths.static_dir()
    return "\n".join(f'<link {what} href="{folder}{path.relative_to(root).as_posix()}">' for path in files)


def page(name: str, **marks: str) -> Response:
    """A page, its marks (``<!-- version -->``) filled in.

    :param marks: HTML by name; ``version``, the relay's, is there always.
    """
    text = (paths.static_dir() / name).read_text(encoding="utf-8")
    for mark, made in (marks | {"version": html.escape(__version__)}).items():
        text = text.replace(f"<!-- {mark} -->", made)
    response = Response(text, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = PAGE_POLICY
    response.headers["Cache-Control"] = "no-cache"
    return _asked_for(compress_file(response))


@blueprint.get("/static/<path:name>")
def static_file(name: str) -> Response:
    """A file that a page needs: under the current hash to be kept for good, else to be asked for each time."""
    root = paths.static_dir()
    version = _VERSIONED.match(name)
    place = safe_join(str(root), name[version.end() :] if version else name)
    kind = _TYPES.get(PurePosixPath(name).suffix.lower())
    if kind is None or place is None or not Path(place).is_file():
        raise NotFound
    response = Response(Path(place).read_bytes(), content_type=kind)
    current = version is not None and version[0] in _handed_out
    response.headers["Cache-Control"] = _FOR_GOOD if current else "no-cache"
    return _asked_for(compress_file(response))


def _asked_for(response: Response) -> Response:
    """With a mark, and 304 to whoever has it."""
    response.add_etag()
    response.make_conditional(request)
    return response


def _version(root: Path) -> str:
    """The folder that stands for all files as they are now."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    stamp = tuple((path, info.st_mtime_ns, info.st_size) for path in files for info in [path.stat()])
    return _hash(stamp)


@lru_cache(maxsize=1)
def _hash(stamp: tuple[tuple[Path, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, size in stamp:
        digest.update(f"{path.name}\0{size}\0".encode())
        digest.update(path.read_bytes())
    return f"v-{digest.hexdigest()[:16]}/"
