"""`GET /docs`: the API's description as a page, made here of /openapi.json; no code from elsewhere."""

from __future__ import annotations

import re
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from markupsafe import Markup, escape

from monitor.errors import REFUSALS
from monitor.pages.templating import environment, render

router = APIRouter(include_in_schema=False)

DESCRIPTION = (
    "What Claude Code sessions report, what the pool does, and what an operator does to it. Looking and "
    "reporting need no token on the monitor's own machine, and a viewer's or a hook's from elsewhere; "
    "actions need the operator's, always: `Authorization: Bearer TOKEN`."
)

#: Tags of addresses in the order in which they are shown, and what they are called there.
GROUPS = {"data": "Look", "": "Follow", "actions": "Act", "hooks": "Report (hooks)"}


@router.get("/docs")
def page(request: Request) -> HTMLResponse:
    """Every address, its parameters, bodies and answers."""
    found = request.app.openapi()
    refusals = [(status, each["description"]) for status, each in sorted(REFUSALS.items())]
    values = {
        "info": found["info"], "version": found["openapi"], "groups": _groups(found), "types": _types(found),
        "refusals": refusals,
    }  # fmt: skip
    return render(request, "reference.html", values)


def _groups(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Addresses by what they are for."""
    shown: dict[str, list[dict[str, Any]]] = {tag: [] for tag in GROUPS}
    for path, methods in found["paths"].items():
        for method, each in methods.items():
            body = each.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            shown[(each.get("tags") or [""])[0]].append({
                "method": method.upper(), "path": path,
                "anchor": "-".join((method, *re.findall(r"\w+", path))), "body": _type(body),
                "summary": each.get("summary", ""),
                "description": each.get("description", ""),
                "parameters": [_parameter(one) for one in each.get("parameters", [])],
                "answers": [
                    _answer(status, one) for status, one in sorted(each["responses"].items())
                    if one.get("description") != REFUSALS.get(int(status), {}).get("description")
                ],
            })  # fmt: skip
    return [{"title": title, "operations": shown[tag]} for tag, title in GROUPS.items()]


def _parameter(one: dict[str, Any]) -> dict[str, Any]:
    schema = one.get("schema", {})
    default = schema.get("default", "")
    return {
        "name": one["name"], "where": one["in"], "type": _type(schema) + _bounds(schema),
        "default": "" if default is None else default,
        "description": one.get("description") or schema.get("description", ""),
    }  # fmt: skip


def _answer(status: str, one: dict[str, Any]) -> dict[str, Any]:
    content = one.get("content", {})
    schema = content.get("application/json", {}).get("schema")
    kinds = ", ".join(name for name in content if name != "application/json")
    return {"status": status, "type": _type(schema) or kinds, "description": one.get("description", "")}


def _types(found: dict[str, Any]) -> list[dict[str, Any]]:
    shown = []
    for name, each in sorted(found.get("components", {}).get("schemas", {}).items()):
        needed = each.get("required", [])
        fields = [
            {"name": field, "type": _type(one) + _bounds(one), "needed": field in needed,
             "description": one.get("description", "")}
            for field, one in each.get("properties", {}).items()
        ]  # fmt: skip
        shown.append({
            "name": name, "description": each.get("description", ""), "fields": fields,
            "choices": each.get("enum", []),
        })  # fmt: skip
    return shown


def _type(schema: Any) -> str:
    """A schema in a word."""
    if not isinstance(schema, dict):
        return ""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    parts = schema.get("anyOf") or schema.get("allOf") or schema.get("oneOf")
    if parts:
        return " or ".join(word for part in parts if (word := _type(part)))
    if "const" in schema or "enum" in schema:
        return " | ".join(str(each) for each in schema.get("enum", [schema.get("const")]))
    kind = str(schema.get("type", "any"))
    return f"list of {_type(schema.get('items')) or 'any'}" if kind == "array" else kind


def _bounds(schema: dict[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    return f", {schema['maxLength']} characters at most" if "maxLength" in schema else ""


def _link(kind: str) -> Markup:
    """A type's name as a link to its description, where it has one."""
    words = []
    for word in kind.split(" "):
        name = word.rstrip(",")
        known = name[:1].isupper() and name.replace("-", "_").isidentifier()
        words.append(
            Markup('<a href="#{0}">{0}</a>').format(name) + word[len(name) :] if known else escape(word)
        )
    return Markup(" ").join(words)


def _ticks(text: str) -> Markup:
    """A description with what stands in backticks as code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:  # one that is not closed is a backtick
        parts[-2:] = ["`".join(parts[-2:])]
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if place % 2 else escape(part)
        for place, part in enumerate(parts)
    )


environment().filters |= {"link": _link, "ticks": _ticks}
