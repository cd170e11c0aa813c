"""Fetch the libraries and icons that the dashboard is made with into ``static/vendor``.

    python packaging/vendor.py           fetch with npm, as `VERSIONS` says, and write files and lock
    python packaging/vendor.py --check   hold the files against the lock; needs no network

What is fetched is not changed, but for two things that let a browser load it as it is: bare imports become relative
ones, so that no import map is needed, and the comment that names a source map is cut, as maps are not shipped.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VENDOR = Path(__file__).resolve().parent.parent / "static" / "vendor"
LOCK = VENDOR / "vendor.lock.json"

VERSIONS = {
    "preact": "11.2.0",
    "htm": "3.1.1",
    "@preact/signals": "2.11.4",
    "@preact/signals-core": "1.14.5",
    "@tabler/icons": "3.52.0",
}
#: file of ours: package, its file there, how others import it
MODULES = {
    "preact.js": ("preact", "dist/preact.mjs", "preact"),
    "preact-hooks.js": ("preact", "hooks/dist/hooks.mjs", "preact/hooks"),
    "htm.js": ("htm", "dist/htm.mjs", "htm"),
    "signals.js": ("@preact/signals", "dist/signals.mjs", "@preact/signals"),
    "signals-core.js": ("@preact/signals-core", "dist/signals-core.mjs", "@preact/signals-core"),
}
#: of Tabler's outline icons, those that the dashboard shows
ICONS = (
    "activity", "alert-triangle", "arrow-back-up", "arrow-narrow-right", "arrows-exchange", "brand-python", "bell",
    "check", "checklist", "chevron-down", "chevron-left", "chevron-right", "circle-check", "clock", "contrast", "copy",
    "dots", "download", "external-link", "filter-off", "hand-stop", "history", "inbox", "keyboard", "link", "lock",
    "logout", "message-2", "messages", "moon", "pencil", "player-pause", "player-play", "plug-connected", "plus",
    "refresh", "robot", "search", "send", "server-2", "sun", "tag", "terminal-2", "timeline", "trash", "user", "users",
    "webhook", "x",
)  # fmt: skip
SPRITE = "icons.svg"
LICENSES = "LICENSES.txt"


def fetch() -> dict[str, bytes]:
    """Every file of ``static/vendor``, made anew from the packages."""
    with tempfile.TemporaryDirectory() as folder:
        packages = {name: _unpack(name, version, Path(folder)) for name, version in VERSIONS.items()}
        names = {imported: name for name, (_, _, imported) in MODULES.items()}
        files: dict[str, bytes] = {}
        for name, (package, path, _) in MODULES.items():
            files[name] = relative_imports((packages[package] / path).read_text(encoding="utf-8"), names).encode()
        files[SPRITE] = sprite(packages["@tabler/icons"] / "icons" / "outline").encode()
        files[LICENSES] = "\n".join(
            f"{name} {VERSIONS[name]}\n\n{(root / 'LICENSE').read_text(encoding='utf-8').strip()}\n\n"
            for name, root in packages.items()
        ).encode()
    return files


def _unpack(name: str, version: str, folder: Path) -> Path:
    """A package's folder, as npm hands it out (it checks what it got against the registry's own hash)."""
    answer = subprocess.run(
        ["npm", "pack", f"{name}@{version}", "--json", "--silent", "--pack-destination", str(folder)],
        check=True, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    target = folder / name.replace("/", "-").replace("@", "")
    with tarfile.open(folder / json.loads(answer.stdout)[0]["filename"]) as archive:
        archive.extractall(target, filter="data")
    return target / "package"


def relative_imports(source: str, names: dict[str, str]) -> str:
    """A module that finds its neighbours by relative path.

    :raises SystemExit: it imports something that is not vendored.
    """

    def replace(match: re.Match[str]) -> str:
        if match[3] not in names:
            raise SystemExit(f"{match[3]} is imported and not in MODULES")
        return f"{match[1]}{match[2]}./{names[match[3]]}{match[2]}"

    source = re.sub(r"""(\b(?:from|import)\s*)(["'])([^"'.][^"']*)\2""", replace, source)
    return re.sub(r"\n?//# sourceMappingURL=\S*\s*$", "\n", source)


def sprite(folder: Path) -> str:
    """All icons as symbols of one file, each under its name."""
    symbols = []
    for name in ICONS:
        drawing = (folder / f"{name}.svg").read_text(encoding="utf-8")
        inner = re.sub(r"^.*?<svg[^>]*>|</svg>\s*$", "", drawing, flags=re.DOTALL)
        inner = re.sub(r'<path stroke="none"[^>]*/>', "", inner)
        symbols.append(f'<symbol id="{name}" viewBox="0 0 24 24">{" ".join(inner.split())}</symbol>')
    return '<svg xmlns="http://www.w3.org/2000/svg">\n' + "\n".join(symbols) + "\n</svg>\n"


def lock_of(files: dict[str, bytes]) -> dict[str, object]:
    """Versions, and the SHA-256 of each file."""
    digests = {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}
    return {"versions": VERSIONS, "sha256": digests}


def check() -> list[str]:
    """What differs from the lock; nothing when all is well."""
    found = {path.name: path.read_bytes() for path in VENDOR.iterdir() if path != LOCK and path.suffix != ".ts"}
    want, have = json.loads(LOCK.read_text(encoding="utf-8")), lock_of(found)
    wrong = [name for name in {*want["sha256"], *found} if want["sha256"].get(name) != have["sha256"].get(name)]  # type: ignore[attr-defined]
    if want["versions"] != VERSIONS:
        wrong.append(f"{LOCK.name} (its versions are not those of vendor.py)")
    return sorted(wrong)


def main() -> int:
    """Fetch, or check."""
    if sys.argv[1:] == ["--check"]:
        wrong = check()
        for name in wrong:
            print(f"static/vendor: {name} is not what the lock says; run: python packaging/vendor.py", file=sys.stderr)
        return 1 if wrong else 0
    if sys.argv[1:]:
        print(__doc__, file=sys.stderr)
        return 2
    files = fetch()
    VENDOR.mkdir(exist_ok=True)
    for name, data in files.items():
        (VENDOR / name).write_bytes(data)
    LOCK.write_text(json.dumps(lock_of(files), indent=2) + "\n", encoding="utf-8")
    print(f"{len(files)} files, {sum(map(len, files.values()))} bytes in static/vendor")
    return 0


if __name__ == "__main__":
    sys.exit(main())
