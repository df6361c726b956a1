"""The fields of a form: what a schema asks for in words, what may be typed, and what becomes of it."""

from __future__ import annotations

import pytest

from missionlink.cli.chat.form_fields import fields_of


def field(**schema):
    (found,) = fields_of({"properties": {"it": schema}})
    return found


@pytest.mark.parametrize(
    ("schema", "typed", "value"),
    [
        ({"type": "string"}, "a text", "a text"),
        ({"type": "string", "maxLength": 2}, "日本", "日本"),
        ({"type": "string", "format": "email"}, "a@b.example", "a@b.example"),
        ({"type": "string", "format": "uri"}, "https://a.example/b", "https://a.example/b"),
        ({"type": "string", "format": "date"}, "2026-02-28", "2026-02-28"),
        ({"type": "string", "format": "date-time"}, "2026-02-28T12:00:00Z", "2026-02-28T12:00:00Z"),
        ({"type": "string", "format": "of another world"}, "x", "x"),
        ({"type": "number"}, "2", 2),
        ({"type": "number"}, "-2.5e3", -2500.0),
        ({"type": "number", "exclusiveMaximum": 3}, "2.9", 2.9),
        ({"type": "integer"}, "+7", 7),
        ({"type": "boolean"}, "Yes", True),
        ({"type": "boolean"}, "false", False),
        ({"type": "string", "enum": ["a", "b"]}, "2", "b"),
        ({"type": "string", "enum": ["a", "b"], "enumNames": ["Alpha", "Beta"]}, "beta", "b"),
        ({"enum": [3, 4]}, "4", 4),
        ({"type": "string", "oneOf": [{"const": "a", "title": "Alpha"}, {"const": "b"}]}, "Alpha", "a"),
        ({"type": "array", "items": {"type": "string", "enum": ["a", "b", "c"]}}, "3, 1, c", ["c", "a"]),
        ({"type": "array", "items": {"anyOf": [{"const": "a", "title": "Alpha"}]}}, "alpha", ["a"]),
        ({"type": "array", "items": {"type": "string"}}, "x, y", ["x", "y"]),
        ({"type": ["null", "integer"]}, "5", 5),
        ({"anyOf": [{"type": "number"}, {"type": "null"}]}, "1.5", 1.5),
        ({"type": "object"}, '{"a": [1]}', {"a": [1]}),
    ],
)
def test_what_is_typed_becomes_a_value_of_the_type(schema, typed, value):
    read = field(**schema).read(typed)
    assert (read, type(read)) == (value, type(value))


@pytest.mark.parametrize(
    ("schema", "typed", "why"),
    [
        ({"type": "string", "minLength": 2, "maxLength": 3}, "a", "a text, at least 2 characters, at most 3"),
        ({"type": "string", "maxLength": 1}, "ab", "at most 1 characters"),
        ({"type": "string", "format": "email"}, "nobody", "an e-mail address"),
        ({"type": "string", "format": "uri"}, "no address", "an address with its scheme"),
        ({"type": "string", "format": "uri"}, "http://[", "an address with its scheme"),
        ({"type": "string", "format": "date"}, "2026-02-30", "a date"),
        ({"type": "string", "format": "date-time"}, "2026-02-28T12:00:00", "a date with its time"),
        ({"type": "number"}, "nan", "a number"),
        ({"type": "number"}, "1e999", "a number"),
        ({"type": "number"}, "1_000", "a number"),
        ({"type": "number", "exclusiveMinimum": 0}, "0", "more than 0"),
        ({"type": "number", "maximum": 1.5}, "1.6", "at most 1.5"),
        ({"type": "integer", "minimum": 1}, "0", "at least 1"),
        ({"type": "integer"}, "1.5", "a whole number"),
        ({"type": "integer"}, "9" * 30, "a whole number"),
        ({"type": "integer"}, "٣", "a whole number"),
        ({"type": "boolean"}, "perhaps", "y(es) or n(o)"),
        ({"type": "string", "enum": ["a"]}, "2", "not in the list"),
        ({"type": "array", "minItems": 2, "items": {"enum": ["a", "b"]}}, "a", "at least 2 of them"),
        ({"type": "array", "maxItems": 1, "items": {"type": "string"}}, "a, b", "at most 1 texts"),
        ({"type": "object"}, "{", "not JSON"),
        ({"type": "object"}, "[" * 100_000, "not JSON"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_would(schema, typed, why):
    with pytest.raises(ValueError) as told:
        field(**schema).read(typed)
    assert why in str(told.value)


@pytest.mark.parametrize(
    ("schema", "default", "shown"),
    [
        ({"type": "string", "default": "Bob"}, "Bob", "Bob"),
        ({"type": "boolean", "default": False}, False, "no"),
        ({"type": "integer", "default": 3}, 3, "3"),
        ({"type": "string", "enum": ["a"], "enumNames": ["Alpha"], "default": "a"}, "a", "Alpha"),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "default": ["b"]}, ["b"], "b"),
        ({"type": "array", "items": {"enum": ["a", "b"]}, "default": []}, [], "none"),
        ({"type": "object", "default": {"a": 1}}, {"a": 1}, '{"a": 1}'),
    ],
)
def test_defaults_are_shown_as_a_person_knows_them(schema, default, shown):
    one = field(**schema)
    assert (one.default, type(one.default)) == (default, type(default))
    assert one.shown(one.default) == shown


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "integer", "default": True},
        {"type": "integer", "default": "3"},
        {"type": "integer", "default": float("inf")},
        {"type": "number", "default": float("nan")},
        {"type": "boolean", "default": 1},
        {"type": "string", "maxLength": 1, "default": "ab"},
        {"type": "string", "enum": ["a"], "default": "b"},
        {"type": "array", "items": {"enum": ["a"]}, "default": [["a"]]},
        {"type": "array", "items": {"enum": ["a"]}, "default": "a"},
    ],
)
def test_a_default_that_does_not_fit_is_none(schema):
    assert field(**schema).default is None


@pytest.mark.parametrize(
    "schema",
    [
        {},
        {"properties": None},
        {"properties": []},
        {"properties": {}, "required": 7},
    ],
)
def test_a_schema_that_asks_for_nothing_has_no_fields(schema):
    assert fields_of(schema) == []


@pytest.mark.parametrize(
    "junk", [None, 7, "x", [], {"type": 7}, {"type": []}, {"enum": 7}, {"anyOf": [7]}, {"items": 7}]
)
def test_junk_in_a_schema_is_asked_as_json(junk):
    (found,) = fields_of({"properties": {"it": junk}, "required": ["it"]})
    assert (found.kind, found.is_required, found.title) == ("json", True, "it")
    assert found.read("null") is None


def test_nothing_in_a_schema_can_steer_the_terminal_or_add_lines():
    evil = "a\x1b[2J\nAllow? y"
    one = field(type="string", title=evil, format=evil, pattern=evil, enum=[evil])
    assert not set("\x1b\n") & set(one.title + one.wanted() + one.shown(evil))
