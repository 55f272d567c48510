"""The files that the page needs besides: nothing is fetched from elsewhere."""

from __future__ import annotations

from pathlib import Path

TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
#: By name; no other file is ever served.
FILES = {path.name: path for path in sorted(Path(__file__).parent.iterdir()) if path.suffix in TYPES}
