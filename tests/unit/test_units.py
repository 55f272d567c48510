"""Durations, sizes, numbers and names as people type them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pool import compiled, units


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90), ("90s", 90), ("10m", 600), ("2h", 7200), ("1d", 86400), ("1h30m", 5400), ("1.5h", 5400),
        (" 10M ", 600), ("250ms", 0.25), ("0", 0), ("2m30", 150), (90, 90), (0.5, 0.5),
    ],
)  # fmt: skip
def test_a_duration(text: str | float, seconds: float) -> None:
    assert units.duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", " ", "h", "10x", "-5", "1e9", "1h m", "1..5h", ".", "ten", "1:30", "٣", "9" * 400, "4000000000", -1,
     True, float("nan"), float("inf"), 10**400, None, [1]],
)  # fmt: skip
def test_no_duration(text: str | float) -> None:
    with pytest.raises(ValueError, match=r"duration|100 years"):
        units.duration(text)


@given(st.integers(0, int(units.LONGEST)))
def test_whole_seconds_survive_every_notation(seconds: int) -> None:
    hours, rest = divmod(seconds, 3600)
    minutes, left = divmod(rest, 60)
    for text in (str(seconds), f"{seconds}s", f"{hours}h{minutes}m{left}s", f"{seconds * 1000}ms"):
        assert units.duration(text) == seconds


@given(st.floats(0, 10 * 86400))
def test_what_is_shown_is_read_as_nearly_the_same(seconds: float) -> None:
    shown = units.span(seconds).replace(" ", "")
    assert abs(units.duration(shown) - seconds) <= max(1, seconds / 10)


@given(st.text())
def test_a_text_is_a_duration_or_refused(text: str) -> None:
    try:
        assert 0 <= units.duration(text) <= units.LONGEST
    except ValueError as error:
        assert "duration" in str(error) or "100 years" in str(error)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (0.4, "0s"), (59, "59s"), (61, "1m 1s"), (600, "10m"), (3599, "59m"), (3600, "1h"),
     (5400, "1h 30m"), (86400, "1d"), (100_000, "1d 3h"), (-5, "0s"),
     (float("nan"), "0s"), (float("inf"), "0s")],
)  # fmt: skip
def test_spans(seconds: float, shown: str) -> None:
    assert units.span(seconds) == shown


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("1048576", 1048576), ("512KiB", 524288), ("1MiB", 1048576), ("2mb", 2_000_000),
     ("1.5k", 1500), ("1 GiB", 1073741824), ("10B", 10)],
)  # fmt: skip
def test_a_size(text: str, size: int) -> None:
    assert compiled.size(text) == size


@pytest.mark.parametrize(
    "text", ["", "big", "-1", "inf", "nan", "1e3", "1TiB", "1_000", "9" * 30, "KiB", "1.2.3k"]
)
def test_no_size(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size: write 1048576, 512KiB or 1MiB"):
        compiled.size(text)


@pytest.mark.parametrize("text", ["", "1.0", "1_000", "one", "0x10", "--1", "٣", "9" * 30])
def test_no_whole_number(text: str) -> None:
    with pytest.raises(ValueError, match="is not a whole number"):
        units.whole(text)


def test_whole_numbers_booleans_and_lists() -> None:
    assert [units.whole(text) for text in ("8", "-1", " 7 ")] == [8, -1, 7]
    assert all(units.truth(text) for text in ("1", "true", "YES", " on "))
    assert not any(units.truth(text) for text in ("", "0", "False", "no", "off"))
    with pytest.raises(ValueError, match="is not yes or no"):
        units.truth("maybe")
    assert compiled.split(" a, b,,c ") == ["a", "b", "c"] == compiled.split('["a", "b", "c"]')
    assert compiled.split("") == []
    with pytest.raises(ValueError, match="is not a list: write a,b,c"):
        compiled.split("[a, b]")


def test_names() -> None:
    assert units.is_name("A-z_09") and units.is_name("x" * 200)
    assert not any(units.is_name(text) for text in ("", "x" * 201, "a.b", "a:b", "a b", "ü", "a\n"))
    assert units.is_worker_id("host.example-12") and units.is_queue("gpu.large")
    assert not units.is_queue("gpu:high")
