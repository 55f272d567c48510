"""The helpers' command line. (`argparse` would double their start-up time.) Standard library only."""

from __future__ import annotations

from pool.errors import UsageError


class Options:
    """The words and options of one command."""

    def __init__(self, command: str, args: list[str], known: dict[str, str]) -> None:
        """``known`` maps an option to 'value', 'many' or 'flag'.

        Raises:
            UsageError: An option is unknown or lacks its value.
        """
        self.words: list[str] = []
        self.values: dict[str, str] = {}
        self.lists: dict[str, list[str]] = {}
        self.flags: set[str] = set()
        rest = list(args)
        while rest:
            arg = rest.pop(0)
            if arg == "--":
                self.words += rest
                break
            if not arg.startswith("-") or arg == "-":
                self.words.append(arg)
                continue
            name, equals, value = arg.partition("=")
            kind = known.get(name)
            if kind is None:
                raise UsageError(
                    f"coord-worker {command} has no option {name} (it has {', '.join(sorted(known))})"
                )
            if kind == "flag":
                if equals:
                    raise UsageError(f"{name} takes no value")
                self.flags.add(name)
                continue
            if not equals:
                if not rest:
                    raise UsageError(f"{name} needs a value")
                value = rest.pop(0)
            if kind == "many":
                self.lists.setdefault(name, []).append(value)
            else:
                self.values[name] = value

    def get(self, name: str, default: str = "") -> str:
        """An option's value."""
        return self.values.get(name, default)

    def word(self, what: str) -> str:
        """The only word, or ''.

        Raises:
            UsageError: There are more.
        """
        if len(self.words) > 1:
            raise UsageError(f"one {what} at a time, not {len(self.words)} words (quote a text with blanks)")
        return self.words[0] if self.words else ""
