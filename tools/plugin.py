"""Write plugin/, the Claude Code plugin, from the sources of the hooks: ``python -m tools.plugin [--check]``.

Everything in it is made here: the manifest, the hooks (hooks/template.py), the one file that they run
(hooks/bundle.py), the worker skill (workers/CLAUDE.md), ``coord-worker``, the MCP server's entry, and the
marketplace entry at the repository's top. The same sources make the same bytes.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import Any

from hooks import bundle, template
from pool import __version__, plugged
from pool.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
NAME = "coord"
DESCRIPTION = (
    "Makes sessions workers of a coord pool: a queue in Redis hands them tasks, and while there are none "
    "they wait in their Stop hook, at no cost."
)

_WORKER = f"""\
#!/bin/sh
# The helper of a worker session, on its PATH. (Generated: see hooks/coord.py.)
command -v python3 >/dev/null || {{ echo "coord-worker: it needs python3" >&2; exit 1; }}
exec python3 -I -S "$(dirname "$0")/../{template.PLUGIN}" --helper "$COORD_COMPILED" "$@"
"""

_README = """\
# coord: workers for a pool of Claude Code sessions

A session with this plugin that was started with `COORD_WORKER=1` (or with the plugin's option `worker`
switched on) is a worker of a coord pool: a queue in Redis hands it tasks, it does them, reports with
`coord-worker complete`, and waits in its Stop hook for the next one, which costs no tokens. Every other
session is left alone.

It needs `python3` (3.11 or newer) and a Redis: the one in `COORD_REDIS_URL`, in the project's `coord.toml`,
in the option `redis_url`, or the one that `coord up` started in the project, else redis://127.0.0.1:6379.
Where `coord` itself is installed with its extra `mcp`, a worker also has the pool's MCP tools. Start it with
`CLAUDE_CODE_STOP_HOOK_BLOCK_CAP=0`, or it stops after 8 tasks in a row that used no tool.

Everything in this folder is generated; the sources are at the top of the repository.
"""


def files() -> dict[str, str]:
    """Every generated file by its path below the repository's top."""
    made = {
        ".claude-plugin/marketplace.json": _json(marketplace()),
        "plugin/.claude-plugin/plugin.json": _json(manifest()),
        "plugin/.mcp.json": _json(mcp()),
        "plugin/README.md": _README,
        "plugin/bin/coord-worker": _WORKER,
        "plugin/hooks/hooks.json": _json({"description": DESCRIPTION, "hooks": hooks()}),
        f"plugin/{template.PLUGIN}": bundle.build(defaults(), plugin=True),
        "plugin/skills/coord-worker/SKILL.md": skill(),
    }
    return dict(sorted(made.items()))


def defaults() -> Settings:
    """The settings as they are where nothing sets any."""
    fields = Settings.model_fields.items()
    return Settings.model_construct(**{name: field.get_default() for name, field in fields})


def marketplace() -> dict[str, Any]:
    """What `claude plugin marketplace add` reads."""
    entry = {"name": NAME, "source": "./plugin", "description": DESCRIPTION}
    return {"name": NAME, "owner": {"name": NAME}, "description": DESCRIPTION, "plugins": [entry]}


def manifest() -> dict[str, Any]:
    """The plugin's manifest, with its options."""
    option = {
        plugged.WORKER: {
            "type": "boolean", "default": False, "title": "Every session is a worker",
            "description": "Else those are that are started with COORD_WORKER=1 (COORD_WORKER=0 opts out).",
        },
        "redis_url": {
            "type": "string", "sensitive": True, "title": "Redis",
            "description": "redis://, rediss:// or unix:// URL, where neither COORD_REDIS_URL nor the "
            "project names one.",
        },
        "queues": {
            "type": "string", "title": "Queues",
            "description": "The queues that a worker serves, comma-separated (default: tasks).",
        },
        "idle_limit": {
            "type": "string", "title": "Idle limit",
            "description": "A worker without work for so long may stop: 90s, 10m, 2h (default: 10m).",
        },
        "operator": {
            "type": "boolean", "default": False, "title": "Tools to look after the pool",
            "description": "Give ordinary sessions the MCP tools of an operator (submit, tasks ...).",
        },
    }  # fmt: skip
    return {
        "name": NAME, "displayName": "coord", "version": __version__, "description": DESCRIPTION,
        "author": {"name": NAME}, "license": "MIT",
        "keywords": ["queue", "worker", "redis", "tasks", "automation"], "userConfig": option,
    }  # fmt: skip


def hooks() -> dict[str, Any]:
    """The hooks, from the template of those that `coord hooks install` puts into a settings file."""
    return template.Wanted("", defaults().hook_timeout, plugin=True).groups


def mcp() -> dict[str, Any]:
    """The MCP server: one without a tool, until the session wants some."""
    env = {plugged.OPTION + name.upper(): f"${{user_config.{name}}}"
           for name in (plugged.WORKER, "operator", *plugged.OPTIONS)}  # fmt: skip
    server = {
        "command": "python3",
        "args": ["-I", "-S", f"${{CLAUDE_PLUGIN_ROOT}}/{template.PLUGIN}", "--mcp"],
        "env": env,
    }
    return {"mcpServers": {"pool": server}}


def skill() -> str:
    """What a worker session is told, as a skill."""
    head = (
        "---\nname: coord-worker\ndescription: How a worker of a coord pool does its tasks: "
        "report with coord-worker, never look for tasks. For sessions that are workers only.\n---\n\n"
    )
    return head + (ROOT / "workers" / "CLAUDE.md").read_text("utf-8")


def outdated(top: Path = ROOT) -> list[str]:
    """The paths that are missing, are not as they would be made now, or should not be there."""
    wanted = files()
    wrong = [
        path for path, text in wanted.items()
        if not (top / path).is_file() or (top / path).read_bytes() != text.encode()
    ]  # fmt: skip
    there = (path for path in (top / "plugin").rglob("*") if path.is_file())
    strange = {path.relative_to(top).as_posix() for path in there} - wanted.keys()
    return sorted([*wrong, *strange])


def write(top: Path = ROOT) -> None:
    """Make plugin/ anew."""
    shutil.rmtree(top / "plugin", ignore_errors=True)
    for path, text in files().items():
        target = top / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(text.encode())
        if text.startswith("#!"):
            target.chmod(0o755)


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def main() -> int:
    """Write it, or say what is out of date."""
    parser = argparse.ArgumentParser(description="Write plugin/ from the sources of the hooks.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if it is out of date")
    changed = outdated()
    if parser.parse_args().check:
        for path in changed:
            print(f"{path} is out of date: python -m tools.plugin", file=sys.stderr)
        return 1 if changed else 0
    write()
    print(f"{len(changed)} files changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
