"""A picture that is drawn again and again, until Ctrl-C."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable
from typing import NoReturn, TypeVar

import redis
from rich.console import RenderableType
from rich.live import Live

from coordinator.commands import common
from pool import connect

Found = TypeVar("Found")


def watch(
    ctx: common.Context,
    as_json: bool,
    look: Callable[[], Found],
    flat: Callable[[Found], None],
    picture: Callable[[Found], RenderableType],
) -> NoReturn:
    """Look again each second, through outages too: a line of JSON each, flat text, or a live picture.

    Raises:
        redis.RedisError: Where there is no picture to write it into.
    """
    live = Live(console=common.console, auto_refresh=False, transient=False)
    with contextlib.nullcontext() if as_json or common.layout() == "flat" else live:
        while True:
            try:
                found = look()
                if as_json:
                    common.dump(found, indent=None)
                elif common.layout() == "flat":
                    flat(found)
                else:
                    live.update(picture(found), refresh=True)
            except redis.RedisError as error:
                if not live.is_started:
                    raise
                live.update(
                    common.cell(f"coord: {connect.trouble(ctx.settings, error)}", "red"), refresh=True
                )
            sys.stdout.flush()
            time.sleep(1.0)
