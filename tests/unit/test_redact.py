"""Secrets are hidden, in time that grows with the text alone."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from monitor.redact import Redactor
from pool import redact
from pool.settings import Settings

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nAbCd\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("key sk-ant-api03-AbCdEfGhIjKlMnOpQrSt_-99 end", "key [redacted] end"),
        ("AKIAIOSFODNN7EXAMPLE", "[redacted]"),
        ("ghp_0123456789abcdefghij0123456789abcdef!", "[redacted]!"),
        ("github_pat_11ABCDEFG0123456789abcdef", "[redacted]"),
        ("xoxb-123456789012-abcDEF", "[redacted]"),
        ("Authorization: Bearer abc.DEF_123-456", "Authorization: Bearer [redacted]"),
        ('{"authorization": "Basic dXNlcjpwYXNz"}', '{"authorization": "Basic [redacted]"}'),
        (f"a {PEM} b", "a [redacted] b"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk", "[redacted]"),
        (f"jwt={JWT}.", "jwt=[redacted]."),
        ("redis://user:p%40ss@host:6379/0", "redis://user:[redacted]@host:6379/0"),
        ("password=hunter2 next", "password=[redacted] next"),
        ("DB_PASSWORD_PROD: hunter2", "DB_PASSWORD_PROD: [redacted]"),
        ('"client_secret": "two words"', '"client_secret": "[redacted]"'),
        (r"{\"api_key\": \"abc def\"}", r"{\"api_key\": \"[redacted]\"}"),
        ("https://x.example/?token=abcdef&page=1", "https://x.example/?token=[redacted]&page=1"),
        ("mysql --password hunter2 db", "mysql --password [redacted] db"),
        ("Cookie: session=abcdef; x=1", "Cookie: [redacted]"),
    ],
)
def test_a_secret_is_hidden_and_what_stands_around_it_is_not(said: str, shown: str) -> None:
    assert redact.text(said) == shown
    assert redact.text(shown) == shown


@pytest.mark.parametrize(
    "said",
    [
        "max_tokens=4096, input_tokens: 123456",
        "token = request.headers.get('x')",
        "def f(password: str, token: None) -> bool:",
        "password: $PASSWORD",
        "the token is in the file; the secret, too",
        "https://example.org/path:80/@user",
        "git@example.org:owner/sketch-anthology-of-risk-analysis.git",
    ],
)
def test_what_is_no_secret_stays(said: str) -> None:
    assert redact.text(said) == said


#: Texts made to be slow to search, by a piece that is repeated.
HOSTILE = (
    "a", "-", "eyJ", "eyJaaaaaaaa.", "-----BEGIN RSA PRIVATE KEY", "-----BEGIN ", "token=", 'token="', "--a-",
    "password='", "://", "://a:", "bearer ", "sk-a", "authorization: ", "api_", "token_", "token    ", "\\",
    "SG.aaaaaaaaaaaaaaaaaaaa.", "cookie:", "pwd=abcdef(", '"',
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_a_hostile_text_takes_no_longer_than_another(piece: str) -> None:
    size = 400_000
    begun = time.process_time()
    redact.text(piece * (size // len(piece)) + "(")
    # A pattern that reads a part of the text again from each of its places would take hours.
    assert time.process_time() - begun < 5


def test_a_secret_at_the_edge_of_what_is_shown_is_hidden_whole() -> None:
    key = "sk-ant-api03-" + "x" * 80
    for limit in range(1, 200):
        shown = redact.cut("y" * 60 + " " + key + " end", limit)
        assert "sk-ant" not in shown and len(shown) <= limit


def test_known_secrets_are_hidden_as_they_are_and_in_json() -> None:
    secret = 'a"b\\c and ümlaut'
    known = redact.Known([secret, "short"])
    for said in (secret, json.dumps({"x": secret}), json.dumps(secret, ensure_ascii=False)):
        assert "and" not in known.text(said) and b"and" not in known.data(said.encode())
    assert known.text("short") == "short"


def test_fields_are_hidden_by_their_names() -> None:
    found = {"password": "hunter2", "env": {"MY_API_KEY": "abcdef", "input_tokens": 5}, "n": [1, None]}
    assert redact.value(found) == {
        "password": redact.HIDDEN, "env": {"MY_API_KEY": redact.HIDDEN, "input_tokens": 5}, "n": [1, None]
    }  # fmt: skip


def test_what_is_nested_without_end_is_not_followed() -> None:
    deep: object = "sk-ant-api03-AbCdEfGhIjKlMnOpQrSt"
    for _ in range(5000):
        deep = [deep]
    assert "sk-ant" not in json.dumps(redact.value(deep))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)


@examples(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(JSON)
def test_any_value_stays_json_and_is_not_changed_twice(found: object) -> None:
    once = redact.value(found)
    json.dumps(once)
    assert redact.value(once) == once


def test_the_monitor_hides_what_its_own_process_knows(tmp_path: Path) -> None:
    settings = Settings(redis_url="redis://u:the-redis-password@127.0.0.1:6379", home=str(tmp_path))
    environ = {"MY_SECRET": "environment-secret", "PATH": "/usr/bin", "API_KEY_FILE": "/run/secrets/api"}
    told = ["told-so-much"]
    redactor = Redactor(settings, environ, fresh=lambda: told)
    said = "environment-secret the-redis-password told-so-much /usr/bin /run/secrets/api"
    assert redactor.text(said) == "[redacted] [redacted] [redacted] /usr/bin /run/secrets/api"
    assert redactor.line("a\n\x1b[31mb environment-secret" + " x" * 400).startswith("a [31mb [redacted] x x")
    assert redactor.value({"x": ["environment-secret"]}) == {"x": ["[redacted]"]}
