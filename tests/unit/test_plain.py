"""What others wrote is shown without anything that would steer a terminal or turn a line round."""

from __future__ import annotations

from pool import plain


def test_control_and_bidirectional_characters_are_seen_as_dots() -> None:
    assert plain.clean("a\x1b[31mb\u202ec\u2066d\x00\r") == "a·[31mb·c·d··"
    assert plain.clean("a\nb\tc") == "a\nb\tc"
    assert plain.line("a\nb\tc\x07") == "a b c·"


def test_other_scripts_stay_whole() -> None:
    # (A Persian word with its joiner, a family of emoji, a wide and a hard space.)
    for text in ("\u0645\u06cc\u200c\u062e\u0648", "👨\u200d👩\u200d👧", "日本語", "Привет"):
        assert plain.line(text) == text
    assert plain.line("a\u3000b\u00a0c") == "a b c"
