"""The lint of pool/lua: `make check` runs it.

Each script must parse; name what it includes; document ARGV and what it returns; use no global but
Redis' own; declare no local it does not use; write an event; and spell none of RQ's keys (they come
from the header). That Redis itself accepts each script is tests/unit/test_scripts.py's to see.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from luaparser import ast, astnodes

FOLDER = Path(__file__).resolve().parent.parent / "pool" / "lua"
GLOBALS = frozenset(
    ("ARGV", "KEYS", "redis", "K", "L", "VERSION", "math", "string", "table", "ipairs", "pairs", "tonumber",
     "tostring", "unpack", "type", "cjson")
)  # fmt: skip
#: Commands that Redis 6.2, the floor, does not have.
TOO_NEW = re.compile(r"call\('(EXPIRETIME|LMPOP|ZMPOP|SINTERCARD|FCALL|HEXPIRE|HPEXPIRE|HGETDEL)'")
RQ_KEY = re.compile(r"'rq:")


def names_declared(tree: astnodes.Chunk) -> set[str]:
    """Local names that a file declares at its top level."""
    found: set[str] = set()
    for node in tree.body.body:
        if isinstance(node, astnodes.LocalAssign):
            found |= {target.id for target in node.targets if isinstance(target, astnodes.Name)}
        elif isinstance(node, astnodes.LocalFunction):
            found.add(node.name.id)
    return found


def problems(path: Path, parts: dict[str, set[str]]) -> Iterator[str]:
    """What is wrong with one file."""
    text = path.read_text(encoding="utf-8")
    for number, line in enumerate(text.splitlines(), 1):
        if len(line) > 120:
            yield f"{number}: longer than 120 characters"
        if RQ_KEY.search(line):
            yield f"{number}: one of RQ's keys is spelt out; take it from K"
        if TOO_NEW.search(line):
            yield f"{number}: a command that Redis 6.2 lacks"
    try:
        tree = ast.parse(text)
    except Exception as error:  # luaparser raises its own and antlr's
        yield f"does not parse: {error}"
        return
    included: set[str] = set()
    if path.parent == FOLDER:
        first = text.split("\n", 1)[0]
        if not first.startswith("-- include:"):
            yield "1: the first line names the parts it includes: `-- include: base ...`"
        for part in first.removeprefix("-- include:").split():
            if part not in parts:
                yield f"1: there is no part {part!r}"
            included |= parts.get(part, set())
        head = text.split("\nlocal ", 1)[0]
        if "Returns" not in head or "ARGV" not in head:
            yield "its header says nothing of ARGV, or of what it Returns"
        if not any(written in text for written in ("event(", "enqueue(")):
            yield "it writes no event (every transition writes one)"
    else:
        # A part stands on the parts before it, in this order.
        order = ["base", "stats", "worker", "task", "enqueue", "observed"]
        for part in order[: order.index(path.stem)] if path.stem in order else []:
            included |= parts[part]
    yield from scopes(tree, GLOBALS | included, path.parent != FOLDER)


def scopes(tree: astnodes.Chunk, known: frozenset[str] | set[str], is_part: bool) -> Iterator[str]:
    """Names used before they are declared, assigned globals, and locals never used."""
    declared: dict[str, int] = {}
    used: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, astnodes.LocalAssign):
            for target in node.targets:
                if isinstance(target, astnodes.Name):
                    declared.setdefault(target.id, _line(node))
        elif isinstance(node, astnodes.LocalFunction):
            declared.setdefault(node.name.id, _line(node))
            for argument in node.args:
                if isinstance(argument, astnodes.Name):
                    declared.setdefault(argument.id, 0)
        elif isinstance(node, (astnodes.Function, astnodes.AnonymousFunction)):
            if isinstance(node, astnodes.Function):
                yield f"{_line(node)}: a global function"
            for argument in node.args:
                if isinstance(argument, astnodes.Name):
                    declared.setdefault(argument.id, 0)
        elif isinstance(node, astnodes.Forin):
            for target in node.targets:
                if isinstance(target, astnodes.Name):
                    declared.setdefault(target.id, 0)
        elif isinstance(node, astnodes.Fornum):
            declared.setdefault(node.target.id, 0)
    text_uses: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, astnodes.Name):
            text_uses[node.id] = text_uses.get(node.id, 0) + 1
            used.add(node.id)
    fields = _field_names(tree)
    for name in sorted(used):
        if name not in declared and name not in known and name not in fields:
            yield f"uses {name!r}, which is nowhere declared (a global?)"
    for name, line in sorted(declared.items()):
        if line and not is_part and text_uses.get(name, 0) < 2 and name != "_":
            yield f"{line}: local {name!r} is never used"


def _field_names(tree: astnodes.Chunk) -> set[str]:
    """Names that stand behind a dot or are keys of a table."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, astnodes.Index) and isinstance(node.idx, astnodes.Name):
            found.add(node.idx.id)
        elif isinstance(node, astnodes.Field) and isinstance(node.key, astnodes.Name):
            found.add(node.key.id)
    return found


def _line(node: astnodes.Node) -> int:
    return int(node.line or 1)


def main() -> int:
    """Lint every file; the exit code."""
    parts: dict[str, set[str]] = {}
    for path in sorted((FOLDER / "lib").glob("*.lua")):
        parts[path.stem] = names_declared(ast.parse(path.read_text(encoding="utf-8")))
    count = 0
    files = [*sorted((FOLDER / "lib").glob("*.lua")), *sorted(FOLDER.glob("*.lua"))]
    for path in files:
        for problem in problems(path, parts):
            count += 1
            print(f"{path.relative_to(FOLDER.parent.parent)}:{problem}")
    print(f"lua lint: {len(files)} files, {count} problems")
    return 1 if count else 0


if __name__ == "__main__":
    sys.exit(main())
