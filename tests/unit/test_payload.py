"""What a job of RQ's must be to be a task of ours; JSON only, whoever made it."""

from __future__ import annotations

import json
import pickle
import zlib
from typing import Any

import pytest
import redis
from hypothesis import given
from hypothesis import strategies as st
from rq.job import Job
from rq.serializers import JSONSerializer

from pool import payload
from pool.payload import FUNCTION, NotATask


def packed(value: object) -> bytes:
    return zlib.compress(json.dumps(value).encode())


@given(st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text())))
def test_fields_come_back_as_they_were(fields: dict[str, Any]) -> None:
    fields["prompt"] = "do it"
    assert payload.decode(payload.encode(fields)) == fields


def test_rqs_own_payload_is_read_and_ours_is_rqs() -> None:
    unconnected = redis.Redis(port=1)
    job = Job.create(FUNCTION, kwargs={"prompt": "héllo"}, serializer=JSONSerializer, connection=unconnected)
    assert payload.decode(job.data) == {"prompt": "héllo"}
    assert payload.decode(zlib.compress(job.data)) == {"prompt": "héllo"}
    job.data = zlib.decompress(payload.encode({"prompt": "x"}))  # as Job.restore does
    assert (job.func_name, list(job.args), job.kwargs) == (FUNCTION, [], {"prompt": "x"})


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (pickle.dumps(("os.system", None, ("true",), {})), "a pickle; coord reads JSON only"),
        (zlib.compress(pickle.dumps(("os.system", None, ("true",), {}))), "a pickle"),
        (b"", "not JSON"),
        (b"\xff\xfe", "not JSON"),
        (packed({"prompt": "x"}), "is not an RQ job's"),
        (packed([FUNCTION, None, []]), "is not an RQ job's"),
        (packed([FUNCTION, None, [], ["prompt"]]), "is not an RQ job's"),
        (
            packed(["os.system", None, ["rm -rf /"], {}]),
            "the function 'os.system', not 'workers.headless.run'",
        ),
        (packed([["os", "system"], None, [], {"prompt": "x"}]), "it asks for the function"),
        (packed([FUNCTION, "instance", [], {"prompt": "x"}]), "it has no prompt (pass it as a keyword)"),
        (packed([FUNCTION, None, ["by position"], {}]), "it has no prompt (pass it as a keyword)"),
        (packed([FUNCTION, None, [], {}]), "it has no prompt"),
        (packed([FUNCTION, None, [], {"prompt": 5}]), "it has no prompt"),
        (zlib.compress(b"[" * 100_000), "not JSON"),
        (payload.encode({"prompt": "cut off" * 1000})[:-20], "not JSON"),
    ],
)
def test_what_is_no_task_says_why(data: bytes, reason: str) -> None:
    with pytest.raises(NotATask) as error:
        payload.decode(data)
    assert reason in str(error.value) and str(error.value).isprintable()


def test_a_bomb_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(payload, "UNPACKED_LIMIT", 1_000_000)
    bomb = zlib.compress(b"[" + b" " * 100_000_000)
    assert len(bomb) < 200_000
    with pytest.raises(NotATask, match="unpacks to more than"):
        payload.decode(bomb)


@given(st.binary(max_size=300))
def test_anything_else_is_refused_and_nothing_more(data: bytes) -> None:
    for each in (data, zlib.compress(data)):
        with pytest.raises(NotATask):
            payload.decode(each)
