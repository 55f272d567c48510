"""`coord completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from coordinator.cli import group
from pool.errors import CoordError

_SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(_SHELLS))
def completion(shell: str) -> None:
    """Print the completion script of a shell: commands, options, and ids and names as they are in Redis.

    \b
    bash:  coord completion bash > ~/.local/share/bash-completion/completions/coord
    zsh:   coord completion zsh > "${fpath[1]}/_coord"
    fish:  coord completion fish > ~/.config/fish/completions/coord.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise CoordError(f"this version of click knows no {shell}")
    # The text alone: click would start bash first to look at its version, and print what it thinks of it.
    made = found(group, {}, "coord", "_COORD_COMPLETE")
    click.echo(made.source_template % made.source_vars())
