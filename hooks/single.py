"""The single-file copy of coord's hooks: what it does first, and which of its modules then runs.

hooks/bundle.py puts this text at the head of the copy, and below it the modules, the Lua scripts and
the settings. The copy answers all six events, and is the keeper (``--keeper ...``), the helper
(``--helper ...``), the runner of a check (``--check ...``) and, in the plugin, what its MCP server begins
as (``--mcp``). Any Python from 3.11 on runs it; this part is kept to what an older one can read, because
an older one must leave without a word.
Standard library only.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from hooks.runtime import Hook

FILE = os.path.abspath(__file__)

#: Module -> its text, Lua file -> its text, and the settings: filled below, in the copy.
MODULES: dict[str, str] = {}
LUA: dict[str, str] = {}
SETTINGS: dict[str, Any] = {}
#: This copy is the Claude Code plugin's.
PLUGIN = False

HANDLERS = {
    "SessionStart": "hooks.session_start",
    "UserPromptSubmit": "hooks.user_prompt_submit",
    "PostToolUse": "hooks.post_tool_use",
    "Stop": "hooks.stop",
    "StopFailure": "hooks.stop_failure",
    "SessionEnd": "hooks.session_end",
}


class Finder:
    """Finds coord's modules in this file, whatever folders of the same names a project has."""

    #: What was compiled by an earlier call.
    codes: dict[str, Any] = {}  # noqa: RUF012 - typing.ClassVar would cost 5 ms

    @classmethod
    def find_spec(cls, name: str, path: Any = None, target: Any = None) -> Any:
        """The module's spec; None when it is not one of ours."""
        if name not in MODULES:
            return None
        # By its type, because `importlib.machinery` would cost 2 ms.
        spec: Any = type(sys.__spec__)
        return spec(name, cls, is_package="." not in name)

    @staticmethod
    def create_module(spec: Any) -> None:
        """The usual empty module."""

    @classmethod
    def exec_module(cls, module: Any) -> None:
        """Run the module's text."""
        module.__file__ = FILE
        exec(cls.codes.get(module.__name__) or compiled(module.__name__), module.__dict__)


def compiled(name: str) -> Any:
    """The code of a module."""
    return compile(MODULES[name], name.replace(".", "/") + ".py", "exec", 0, True)


def remembered(folder: str) -> dict[str, Any]:
    """The code of all modules as an earlier call left it in a folder: compiling costs every hook 10 ms.

    Nothing is left where there is no such folder: that project has no pool yet.
    """
    import marshal
    import zlib

    path = os.path.join(folder, "copy.cache")
    key = [sys.version, zlib.crc32("".join(MODULES.values()).encode())]
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_uid == os.geteuid():
                known, codes = marshal.loads(file.read())
                if known == key:
                    return dict(codes)
    except (OSError, EOFError, TypeError, ValueError):
        pass  # there is none yet, or a damaged one: it is made anew
    if not os.path.isdir(folder):
        return {}
    codes = {name: compiled(name) for name in MODULES}
    try:
        fd = os.open(f"{path}.{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(fd, "wb") as file:
            file.write(marshal.dumps([key, codes]))
        os.replace(f"{path}.{os.getpid()}", path)
    except OSError:
        pass  # a read-only disk: the next call compiles again
    return codes


def load(name: str) -> Any:
    """A module of ours."""
    __import__(name)
    return sys.modules[name]


def handle(hook: Hook) -> None:
    """What the event's own file would do."""
    module = HANDLERS.get(hook.text("hook_event_name"))
    if PLUGIN and load("hooks.aside").others_act(os.environ.get("CLAUDE_PROJECT_DIR", "")):
        return
    if module:
        load(module).handle(hook)


def too_old(helper: bool) -> None:
    """End: silently, but for a helper, and for the start of a session that was to be a worker."""
    needs = "it needs Python 3.11 or newer as python3, not %d.%d" % sys.version_info[:2]  # noqa: UP031
    if helper:
        sys.exit("coord-worker: " + needs)
    if PLUGIN and '"SessionStart"' in sys.stdin.read():
        print('{"systemMessage": "coord: this session is no worker: %s"}' % needs)  # noqa: UP031
    sys.exit(0)


def main(argv: list[str]) -> None:
    """Be what the arguments say: a hook unless they say keeper, helper or mcp; ends the process."""
    helper = argv[:1] == ["--helper"]
    if sys.version_info < (3, 11):  # noqa: UP036 - whoever clones the project brings the interpreter
        too_old(helper)
    sys.meta_path.insert(0, Finder)
    project = os.environ.get("CLAUDE_PROJECT_DIR") or os.path.dirname(os.path.dirname(os.path.dirname(FILE)))
    given = os.path.dirname(argv[1]) if argv[1:] else ""
    if PLUGIN:
        Finder.codes = remembered(os.environ.get("CLAUDE_PLUGIN_DATA") or given)
        home = given or load("pool.plugged").home()
    else:
        home = os.path.join(project, os.environ.get("COORD_HOME") or ".coord")
        Finder.codes = remembered(given or home)
    SETTINGS["values"]["home"] = home
    load("pool.script_text").EMBEDDED.update(LUA)
    load("pool.compiled").EMBEDDED.update(SETTINGS)
    load("pool.local").COPY = load("pool.local").SOURCE = FILE
    if PLUGIN:
        plugged(home, argv)
    if helper:
        load("workers.helper").main(argv[2:], "".join(argv[1:2]))
    if argv[:1] == ["--keeper"]:
        sys.exit(load("workers.keeper").main(argv[1:]))
    if argv[:1] == ["--check"]:
        sys.exit(load("pool.check").main(argv[1:]))
    load("hooks.runtime").run(handle, argv)


def plugged(home: str, argv: list[str]) -> None:
    """Take the plugin's settings; be its MCP server if the arguments say so."""
    load("pool.local").SOURCE = "plugin"  # wherever the client keeps it now
    hook, server = argv[:1] not in (["--helper"], ["--keeper"], ["--check"]), argv[:1] == ["--mcp"]
    if server and not load("hooks.no_tools").role():
        load("hooks.no_tools").serve()
        sys.exit(0)
    module, embedded = load("pool.plugged"), load("pool.compiled").EMBEDDED
    try:
        module.apply(embedded, home, hook)
    except load("pool.errors").SettingsError as error:
        if argv[:1] == ["--helper"]:
            print("coord-worker: %s" % error, file=sys.stderr)  # noqa: UP031
            sys.exit(error.exit_code)
        load("pool.local").log(home, "the plugin does nothing: %s" % error)  # noqa: UP031
        sys.exit(0)
    if server:
        load("hooks.no_tools").become(home, embedded["values"]["redis_url"])
        sys.exit(0)
    if hook and module.chosen():
        argv.append("--worker")
