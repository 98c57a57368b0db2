"""``clients.yaml`` and ``providers.yaml`` as nodes that know their place, so that a problem has a line and an edit keeps every comment."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import yaml

DEEPEST = 8
_WHOLE_NUMBER = re.compile(r"(0|-?[1-9][0-9]{0,17})\Z")
_WORDS = {"true": True, "false": False, "null": None, "": None}


class Refused(Exception):
    """A place in the file that cannot be taken: line from 1, message, remedy."""

    def __init__(self, line: int, message: str, remedy: str) -> None:
        super().__init__(message)
        self.line, self.message, self.remedy = line, message, remedy


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands, lines and columns from 0. A dict or tuple holds nodes.

    ``key_line`` is the line of its key; ``last_line`` the last line that belongs to it, comments after it not counted.
    """

    value: Any
    line: int
    column: int
    last_line: int
    key_line: int
    flow: bool = False

    def plain(self) -> Any:
        """The value without places; lists are tuples."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, tuple):
            return tuple(node.plain() for node in self.value)
        return self.value


def parse(text: str, first: str = "clients") -> Node:
    """The file as nodes. Only true, false, null and whole numbers are more than text, and only without quotes.

    Keys may not repeat; anchors, aliases, tags and a second document are refused: what is written is what holds.

    :param first: the key with which such a file begins.
    :raises Refused: with the line.
    """
    try:
        return _Events(text, first).document()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        says = getattr(error, "problem", None) or "it cannot be read"
        line = mark.line + 1 if mark else 1
        raise Refused(
            line, f"this is not YAML: {says}", "check indentation, colons and quotes here and above"
        ) from None


class _Events:
    def __init__(self, text: str, first: str) -> None:
        self._loader = yaml.CSafeLoader(text)
        self._first = first

    def document(self) -> Node:
        self._next()  # the start of the stream
        if self._loader.check_event(yaml.StreamEndEvent):
            raise Refused(1, "the file is empty", f"begin with `{self._first}:`")
        self._next()  # the start of the document
        root = self._node(0)
        self._next()  # its end
        if not self._loader.check_event(yaml.StreamEndEvent):
            raise Refused(self._next().start_mark.line + 1, "a second document begins", "remove the --- line")
        return root

    def _next(self) -> Any:
        return self._loader.get_event()

    def _node(self, depth: int) -> Node:
        event = self._next()
        line, column, last_line = event.start_mark.line, event.start_mark.column, event.end_mark.line
        if last_line > line and event.end_mark.column == 0:
            last_line -= 1  # the mark behind a block text (|) stands at the start of the next line
        if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
            raise Refused(
                line + 1, "anchors and aliases (& and *) are not used here", "write the value out, or quote the text"
            )
        if event.tag is not None:
            raise Refused(line + 1, "tags (!) are not used here", "remove it, or quote the text")
        if depth > DEEPEST:
            raise Refused(line + 1, "this is nested too deeply", "check the indentation")
        if isinstance(event, yaml.ScalarEvent):
            return Node(_typed(event), line, column, last_line, line)
        if isinstance(event, yaml.SequenceStartEvent):
            items = []
            while not self._loader.check_event(yaml.SequenceEndEvent):
                items.append(self._node(depth + 1))
            return self._collection(tuple(items), items, event)
        found: dict[str, Node] = {}
        while not self._loader.check_event(yaml.MappingEndEvent):
            key = self._next()
            key_line = key.start_mark.line
            if not isinstance(key, yaml.ScalarEvent) or key.anchor is not None or key.tag is not None:
                raise Refused(key_line + 1, "a key must be plain text", "write `key: value`")
            if key.value in found:
                first = found[key.value].key_line + 1
                raise Refused(key_line + 1, f"`{key.value}` stands on line {first} already", "keep one of them")
            found[key.value] = replace(self._node(depth + 1), key_line=key_line)
        return self._collection(found, found.values(), event)

    def _collection(self, value: Any, children: Iterable[Node], start: Any) -> Node:
        end, line = self._next(), start.start_mark.line
        # A block's end event stands at the next token, behind comments that are not its own.
        last = end.end_mark.line if start.flow_style else max((child.last_line for child in children), default=line)
        return Node(value, line, start.start_mark.column, last, line, bool(start.flow_style))


def _typed(event: Any) -> str | int | bool | None:
    value: str = event.value
    if event.style not in (None, ""):
        return value
    if value in _WORDS:
        return _WORDS[value]
    return int(value) if _WHOLE_NUMBER.match(value) else value
