"""`coord worker run`: a supervisor that keeps Claude Code sessions, each for one worker's name.

A new session costs a turn, so none is started while its queues are empty (but for those that are to be kept
ready, which are told nothing before a task waits): the supervisor waits on the stream of events, and
pool/lua/summon.lua chooses one supervisor per waiting task. It is the keeper of its sessions, and ends them
when it is asked to.
"""

from __future__ import annotations

import fcntl
import os
import random
import select
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pool import clock, compiled, enroll, keys, needs, payload, profile, scripts, sessionlog, wire
from pool import settings as settings_module
from pool.errors import RedisAway, UsageError
from pool.profile import Profile
from workers import child
from workers.supervise import credentials, dialogs, health, options
from workers.supervise.breaker import Breaker
from workers.supervise.slot import COMING, Slot
from workers.supervise.watching import Watcher

_T = TypeVar("_T")

#: So often (seconds) a session that only waits is asked whether it stands in another's way.
_ROOM = 1.0
#: What it says to the pool of itself is believed for so long (seconds); it says it again in good time.
_BELIEVED, _SAYS = 20.0, 5.0


def _is_the_pools(entry: Any) -> bool:
    """Whether an entry of pool:events is a transition's: the monitor's own make no work."""
    fields = dict(zip(entry[1][::2], entry[1][1::2], strict=True))
    return fields.get(b"type") != b"session"


class Supervisor:
    """One supervisor and its workers."""

    def __init__(self, given: options.Options, log: Callable[[str], None]) -> None:
        """``log`` takes lines for people."""
        options.check(given)
        self.options = given
        self.settings = given.settings
        self._log = log
        self.folder = sessionlog.folder(self.settings.home, given.name)
        self.slots = [Slot(self, given, name) for name in given.names()]
        path = str(settings_module.compile_settings(self.settings))
        self.compiled = compiled.load(path)
        url = lambda: settings_module.redis_url(self.settings)  # noqa: E731
        self.pool = scripts.Pool(wire.Connection(url), self.settings.model_dump(), keys.templates())
        #: Blocks on the stream of events; a wake-up drops it, so nothing else goes over it.
        self._events = wire.Connection(url)
        self.watcher = Watcher(path)
        #: How many signals asked it to end, and the pipe that wakes it.
        self.asked = self._heeded = 0
        self._wake, self._bell = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(self._bell, False)
        self._breakers: dict[str, Breaker] = defaultdict(Breaker)
        #: Why Redis does not answer ('' if it does), since when, and whether it was silent in this round.
        self._away, self._reached, self._silent = "", clock.mono(), False
        #: Why no session can be started at all ('' if it can), and when that is looked at again.
        self._hindrance, self._look_again = "", 0.0
        #: Why its account bars it from starting any ('' if it does not).
        self._barred = ""
        self._resume = given.resume
        self._room_at = 0.0
        self._said: tuple[object, ...] = ()
        self._told: tuple[object, ...] = ()
        self._told_at = 0.0
        self._said_at = 0.0

    # -- the loop --------------------------------------------------------------------------------------

    def run(self) -> None:
        """Supervise until asked to end.

        Raises:
            UsageError: There is no Claude Code here, or another supervisor of that name.
        """
        self._argv = self._program()
        child.adopt_orphans()
        with self._alone(), self._signals(), self.watcher:
            given = self.options
            self.log(
                f"{', '.join(given.names())}: a session is started when a task waits "
                f"({given.mode} mode, queues {', '.join(given.queues)})"
            )
            try:
                while self._round():
                    pass
            finally:
                for slot in self.slots:
                    if slot.session is not None:
                        slot.session.kill()
                        slot.step()
                self._say_health(ended=True)

    def _round(self) -> bool:
        """Look after everything once, then wait; False at the end."""
        self._silent = False
        last = self._newest() if self._looks() else ""
        if self.asked > self._heeded:
            self._heed()
        for slot in self.slots:
            slot.step()
        if self.asked and all(slot.session is None for slot in self.slots):
            return False
        self._wake_ready()
        if self._may_start():
            self._fill()
        elif not self.asked:
            self._make_room()
        self._say_health()
        self._await(last)
        return True

    def _heed(self) -> None:
        """A signal has asked it to end: once is a request, twice an order."""
        self._heeded = self.asked
        limit = self.settings.drain_limit if self.asked == 1 else 0.0
        for slot in self.slots:
            if slot.session is not None:
                slot.end_within(limit)
        if self.asked == 1 and any(slot.session is not None for slot in self.slots):
            self.log(f"ending: the session may finish its task, for {limit:g} s at most")

    def _await(self, last: str) -> None:
        """Sleep until something happens, in the pool (where that matters) or here, for a while at most."""
        young = any(slot.session is not None and not slot.member for slot in self.slots)
        busy = any(slot.session is not None for slot in self.slots)
        seconds = 0.5 if young or self._away else min(1.0, health.BEAT) if busy else health.BEAT
        if not last or self._away or not self._looks():
            self._sleep(seconds)
            return
        end = clock.mono() + seconds * random.uniform(0.7, 1.3)
        while (left := end - clock.mono()) > 0:
            try:
                found = self._happened(last, left)
            except (wire.Cancelled, RedisAway, wire.ReplyError):
                break  # looked at in the next round, where Redis is asked again
            # A busy pool has many events: a look at each would only be in the others' way.
            woken = self._sleep(min(0.1, max(0.0, end - clock.mono())))
            if woken or not found or any(_is_the_pools(each) for each in found):
                break
            last = found[-1][0].decode()  # only what the monitor has seen of sessions
        self._drain_pipe()

    def _happened(self, last: str, seconds: float) -> list[Any]:
        """The entries of the pool's events after ``last``; waits so long for one.

        Raises:
            wire.Cancelled: Something happened here meanwhile.
            RedisAway: Redis does not answer.
            wire.ReplyError: It refuses.
        """

        def readable(left: float) -> bool:
            if self._events.pending():
                return True
            fd = self._events.fileno()
            ready = select.select([fd, self._wake, *self._deaths()], [], [], left)[0]
            if ready and fd not in ready:
                raise wire.Cancelled("something happened here")
            return bool(ready)

        reply = self._events.wait_command(
            seconds + 1, readable, "XREAD", "COUNT", 200, "BLOCK", max(1, int(seconds * 1000)), "STREAMS",
            "pool:events", last,
        )  # fmt: skip
        return list(reply[0][1]) if reply else []

    def _deaths(self) -> list[int]:
        return [slot.watch.fd for slot in self.slots if slot.watch is not None and slot.watch.fd >= 0]

    def _sleep(self, seconds: float) -> bool:
        """Sleep, unless something happens here; whether it did."""
        woken = bool(select.select([self._wake, *self._deaths()], [], [], seconds)[0])
        self._drain_pipe()
        return woken

    def _drain_pipe(self) -> None:
        try:
            while os.read(self._wake, 4096):
                pass
        except BlockingIOError:
            return

    def ring(self) -> None:
        """Wake it; from any thread."""
        try:
            os.write(self._bell, b".")
        except BlockingIOError:
            return  # it is awake

    # -- starting sessions -------------------------------------------------------------------------------

    def _free(self) -> Slot | None:
        running = sum(slot.session is not None for slot in self.slots)
        return (
            None if running >= self.options.most else next((slot for slot in self.slots if slot.free), None)
        )

    def _may_start(self) -> bool:
        return not self.asked and not self._breakers[""].left and self._free() is not None

    def _looks(self) -> bool:
        """Whether what happens in the pool matters here: a session may be started or told to begin."""
        return self._may_start() or any(slot.ready for slot in self.slots)

    def _wake_ready(self) -> None:
        """Let sessions that are kept ready begin, as far as tasks wait that they can take."""
        for slot in self.slots:
            breaker = self._breakers[slot.kind]
            if not slot.idle_at_input or self.asked or (breaker.left and not breaker.trying):
                continue
            reply = self.ask(lambda slot=slot: self.summon(slot, "ready"))  # type: ignore[misc]
            if reply is not None and reply[0] == "off":
                slot.drained = True  # as an operator wants it
            if reply is None or reply[0] != "start":
                continue
            self.say(slot.name, f"the session begins, for task {reply[2]}")
            slot.wake()

    def _fill(self) -> None:
        """Start the sessions that are wanted."""
        found = self._credentials()
        if found is None:
            return
        while (slot := self._free()) is not None and not self._breakers[""].left and not self.asked:
            reply = self.ask(lambda slot=slot: self.summon(slot))  # type: ignore[misc]
            running = sum(each.session is not None for each in self.slots)
            self._barred = reply[1] if reply is not None and reply[0] == "wait" else ""
            if reply is not None and reply[0] == "start":
                if any(each.idle_at_input for each in self.slots) and needs.PROFILE not in reply[1]:
                    # It came since those that are kept ready were asked: it is theirs, in the next round.
                    self.ask(lambda slot=slot: self.summon(slot, "off"))  # type: ignore[misc]
                    return
                started = self._start(slot, reply[1], reply[2], found)
            else:
                kept = running < self.options.least and not self._barred and reply is not None
                started = kept and self._start(slot, "", "", found)
            if not started:
                return

    def _make_room(self) -> None:
        """Every place is taken, one by a session that waits; another may be wanted more."""
        idle = [slot for slot in self.slots if slot.idle]
        if not idle or self._free() is not None or clock.mono() < self._room_at:
            return
        self._room_at = clock.mono() + _ROOM
        slot = idle[0]
        reply = self.ask(lambda: self.summon(slot))
        if reply is not None and reply[0] == "start" and (not slot.ready or needs.PROFILE in reply[1]):
            self.say(slot.name, f"it makes room: task {reply[2]} needs another session")
            self.ask(lambda: self.summon(slot, "off"))
            slot.drained = True

    def summon(self, slot: Slot, session: str = "") -> list[str]:
        """Whether a session should be started, or how far one has come: summon.lua."""
        refused = " ".join(kind for kind, each in self._breakers.items() if kind and each.left)
        offers = self.options.offers()
        if session == "ready":  # it was started as it is: what a task asks for besides another must give
            offers = " ".join(each for each in offers.split() if f"{each}:" != needs.PROFILE)
        return self.pool.summon(
            slot.name, self.options.queues, COMING, session, offers, refused, self.settings.account
        )  # fmt: skip

    def _start(self, slot: Slot, asked_for: str, task: str, found: credentials.Found) -> bool:
        kind = next((token for token in asked_for.split() if token.startswith(needs.PROFILE)), "")
        try:
            asked = self._profile(kind, task) if kind else Profile()
            self._prepare(slot, asked, found)
            argv, environ = self._launch(slot, asked, found)
            self._breakers[kind].tried()
            self.say(slot.name, "starting a session" + (f" for task {task}" if task else ""))
            secrets = [value for name, value in environ.items() if name in credentials.SECRETS and value]
            # A session costs its first turn, so it is told nothing before a task is its own: of two that are
            # started for two tasks, the first may take both. What a task asks of its session is for it alone.
            slot.begin(argv, environ, secrets, asked, ready=not kind)
        except (UsageError, OSError) as error:
            self.ask(lambda: self.summon(slot, "off"))
            self.failed(kind, str(error), False)
            return False
        self._resume = ""
        return True

    def _profile(self, kind: str, task: str) -> Profile:
        """What a task asks of its session, as Redis has it."""
        data = self.pool.connection.execute_command("HGET", keys.key("job", task), "data")
        try:
            asked = profile.parse(payload.decode(data or b"").get("profile"), f"task {task}")
        except payload.NotATask as error:
            raise UsageError(f"task {task}: {error}") from None
        if needs.PROFILE + asked.name != kind:
            raise UsageError(f"task {task} needs {kind}, and asks for something else: it was tampered with")
        if asked.permission_mode == profile.BYPASS and not self.settings.allow_bypass:
            raise UsageError(f"task {task} asks for {profile.BYPASS}, which allow_bypass does not allow here")
        return asked

    def _prepare(self, slot: Slot, asked: Profile, found: credentials.Found) -> None:
        """Answer what the client would ask at its first start, in a folder that is the worker's own."""
        if self.options.shared or self.settings.played:
            return
        mode = asked.over(self.options.profile).permission_mode
        key = ""
        if self.options.mode == "terminal":  # only there would the client ask whether it may use it
            key = found.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_API_KEY", "")
        dialogs.settle(self.config(slot), self.options.project, key, mode == profile.BYPASS)

    def config(self, slot: Slot) -> Path:
        """The configuration folder of a worker's sessions."""
        if self.options.shared:
            return Path(os.environ.get("CLAUDE_CONFIG_DIR") or Path.home() / ".claude")
        return slot.folder / "claude"

    def _program(self) -> list[str]:
        if self.settings.played:
            return [sys.executable, "-P", "-m", "workers.played", "--project", str(self.options.project)]
        return child.program(self.settings.claude)

    def _launch(
        self, slot: Slot, asked: Profile, found: credentials.Found
    ) -> tuple[list[str], dict[str, str]]:
        """The command of a session (without what its mode adds), and its environment."""
        given = self.options
        argv = list(self._argv)
        if not self.settings.played:
            argv += asked.over(given.profile).argv()
            argv += [f"--settings={given.hooks}"] if given.hooks else []
            argv += [f"--resume={self._resume}"] if self._resume else []
            argv += ["--fork-session"] if self._resume and given.fork else []
        environ = {name: value for name, value in os.environ.items() if name not in child.IDENTITY}
        environ |= {
            **found.environ, "COORD_WORKER": "1", "COORD_WORKER_ID": slot.name, "COORD_MODE": given.mode,
            "COORD_SUPERVISED": given.name, "COORD_HOME": self.settings.home,
            "COORD_QUEUES": ",".join(given.queues), "COORD_PLAYED": str(int(self.settings.played)),
            "DISABLE_AUTOUPDATER": "1",
        }  # fmt: skip
        if not given.shared:
            environ["CLAUDE_CONFIG_DIR"] = str(self.config(slot))
        if asked.name:
            environ["COORD_PROFILE"] = asked.name
        if asked.once or given.limits.tasks:
            environ["COORD_MAX_TASKS"] = "1" if asked.once else str(given.limits.tasks)
        return argv, environ

    def _credentials(self) -> credentials.Found | None:
        """What sessions need to log in; None while there is nothing."""
        if self.settings.played:
            return credentials.Found({}, "")
        if clock.mono() < self._look_again:
            return None
        found = credentials.look(os.environ, self.config(self.slots[0]), self.options.project)
        if found.missing:
            if found.missing != self._hindrance:
                self.log(found.missing)
            self._look_again = clock.mono() + health.BEAT
        self._hindrance = found.missing
        return None if found.missing else found

    # -- how sessions ended ------------------------------------------------------------------------------

    def breaker(self, kind: str) -> Breaker:
        """Of sessions of a profile ('' of the workers' own)."""
        return self._breakers[kind]

    def failed(self, kind: str, why: str, hopeless: bool) -> None:
        """A session failed."""
        pause = self._breakers[kind].failed(why, hopeless)
        self.log(f"{why}: the next one not before {pause:.0f} s")

    def untried(self, kind: str) -> None:
        """A session ended before it was told anything."""
        self._breakers[kind].untried()

    def went_well(self, kind: str) -> None:
        """A session went well."""
        self._breakers[kind].went_well()

    def spared(self, ended: Slot) -> set[int]:
        """Children that are not to be ended with a session."""
        others = {slot.session.pid for slot in self.slots if slot.session is not None and slot is not ended}
        return others | {self.watcher.pid}

    # -- Redis -----------------------------------------------------------------------------------------

    def ask(self, what: Callable[[], _T]) -> _T | None:
        """Ask Redis; None when it does not answer, and for the rest of that round."""
        if self._silent:
            return None
        try:
            found = what()
        except (RedisAway, wire.ReplyError) as error:
            self._silent = True
            if not self._away:
                self.log(str(error))
            self._away = str(error)
            return None
        if self._away:
            self.log("Redis is back")
        self._away, self._reached = "", clock.mono()
        return found

    def _newest(self) -> str:
        def ask() -> str:
            found = self.pool.connection.execute_command("XREVRANGE", "pool:events", "+", "-", "COUNT", 1)
            return found[0][0].decode() if found else "0-0"

        return self.ask(ask) or ""

    # -- one of its kind, signals, health ----------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name in dict.fromkeys([self.options.name, *self.options.names()]):
                folder = sessionlog.folder(self.settings.home, name)
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
                lock = stack.enter_context((folder / "lock").open("w"))
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    raise UsageError(f"a supervisor {name} runs already: give this one a --name") from None
            yield

    @contextmanager
    def _signals(self) -> Iterator[None]:
        before = {
            number: signal.signal(number, self._on_signal) for number in (signal.SIGTERM, signal.SIGINT)
        }
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _on_signal(self, number: int, frame: Any) -> None:
        self.asked += 1
        self.ring()

    def log(self, line: str) -> None:
        """A line for people."""
        self._log(line)

    def say(self, name: str, line: str) -> None:
        """A line for people about a worker."""
        self._log(line if self.options.workers == 1 else f"{name}: {line}")

    def _state(self) -> tuple[str, str, bool]:
        """How it fares: a word, the reason, whether that is well."""
        running = [slot for slot in self.slots if slot.session is not None]
        breaker = self._breakers[""]
        if running:
            state, reason = running[0].state()
            if self.options.workers > 1:
                reason = f"{len(running)} of {self.options.workers} sessions"
            return state, reason, not breaker.open
        if self._hindrance:
            return "no-credentials", self._hindrance, False
        if self._barred:
            return "waiting", self._barred, not breaker.open
        if breaker.left:
            return "broken" if breaker.open else "pausing", breaker.say(), not breaker.open
        return "waiting", breaker.say() if breaker.open else "no task wants a session", not breaker.open

    def _say_health(self, ended: bool = False) -> None:
        """Write the health file, when something changed and now and then."""
        state, reason, healthy = ("ended", "", False) if ended else self._state()
        if self._away and clock.mono() - self._reached > health.STALE:
            healthy, reason = False, self._away
        workers = {slot.name: self._worker(slot) for slot in self.slots}
        self._tell_pool(state, reason, ended)
        said = (state, reason, healthy, str(workers))
        if said == self._said and clock.mono() - self._said_at < health.BEAT:
            return
        self._said, self._said_at = said, clock.mono()
        try:
            health.write(self.folder / "health.json", healthy, state, reason, self._breaker_words(), workers)
        except OSError as error:
            self.log(f"{self.folder}: {error.strerror}")

    def _tell_pool(self, state: str, reason: str, ended: bool) -> None:
        """Say the same to the pool, for `coord workers`."""
        why = self._hindrance or self._barred or self._breaker_words()
        said = (state, reason, why, ended)
        if said == self._told and clock.mono() - self._told_at < _SAYS:
            return
        fields = {
            "host": enroll.host_name(), "pid": str(os.getpid()), "mode": self.options.mode,
            "account": self.settings.account, "workers": ",".join(self.options.names()), "state": state,
            "reason": reason, "breaker": why,
        }  # fmt: skip
        seconds = 0.0 if ended else _BELIEVED

        def tell() -> bool:
            self.pool.supervise(self.options.name, seconds, fields)
            return True

        if self.ask(tell):
            self._told, self._told_at = said, clock.mono()

    def _worker(self, slot: Slot) -> dict[str, Any]:
        state, reason = slot.state()
        pid = slot.session.pid if slot.session is not None else 0
        return {"state": state, "reason": reason, "pid": pid, "task": slot.log.task if pid else ""}

    def _breaker_words(self) -> str:
        """Which breakers are open, and why; '' when none is."""
        found = [f"{kind} {each.say()}".strip() for kind, each in self._breakers.items() if each.open]
        return "; ".join(found)
