"""Chat templates: programs of untrusted checkpoints, run in jinja's sandbox with a limit of work.

The sandbox alone stops neither nested loops nor strings that double. Here every operation whose cost grows
with its operands spends units in proportion, before it is executed, and whatever cannot be bounded like that
is not available. A limit of time would need another process.
"""

from __future__ import annotations

import functools
import itertools
import json
from collections.abc import Callable, ItemsView, Iterator, KeysView, Mapping, ValuesView
from datetime import datetime
from typing import Any

from jinja2 import nodes, pass_context
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.runtime import LoopContext, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace
from jinja2.visitor import NodeTransformer

MAX_CHARS = 2**16
"""The longest template; those of published models have at most 20,000 characters."""

_UNITS = 1_000_000  # all of them take about a second; a published template spends under 50,000 for 20 images
_MAX_INTEGER = 2**53
_MAX_INDENT = 16
# Filters of the environment; a template cannot write names with a space.
_CHARGE, _EACH = "charge value", "charge loop"

_FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "e", "escape", "first", "float", "indent"),
    *("int", "items", "join", "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr"),
    *(
        "replace",
        "reverse",
        "safe",
        "select",
        "selectattr",
        "sort",
        "string",
        "title",
        "trim",
        "unique",
        "upper",
    ),
)
_METHODS = frozenset(
    (
        *(
            "capitalize",
            "casefold",
            "count",
            "endswith",
            "find",
            "get",
            "index",
            "isdigit",
            "isspace",
            "items",
        ),
        *("join", "keys", "lower", "lstrip", "partition", "removeprefix", "removesuffix", "replace", "rfind"),
        *("rpartition", "rsplit", "rstrip", "split", "splitlines", "startswith", "strip", "title", "upper"),
        "values",
    )
)


def render(template: str, messages: list[dict[str, Any]], **variables: Any) -> str:
    """Render a chat template as transformers does.

    Args:
        template: The template.
        messages: The conversation, of plain JSON types.
        variables: Other variables, such as ``add_generation_prompt`` and the special tokens.

    Raises:
        ValueError: If the template is longer than `MAX_CHARS`.
        jinja2.exceptions.TemplateError: If the template is not valid, uses what is not available, or takes
            more work than any chat template needs.
    """
    if len(template) > MAX_CHARS:
        raise ValueError(f"it has {len(template):,} characters; at most {MAX_CHARS:,} are allowed")
    environment = _Environment()
    tree = environment.parse(template)
    environment.weight = _weight(tree)
    environment.spend(environment.weight)
    compiled = environment.from_string(_Metered().visit(tree))
    return compiled.render(messages=messages, tools=None, documents=None, **variables)


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset(("+", "-", "*", "/", "//", "%", "**"))

    def __init__(self) -> None:
        super().__init__(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols], optimized=False
        )
        self.weight = 0
        self._left = _UNITS
        functions = {"range": range, "dict": dict, "namespace": _Namespace}
        self._functions: dict[str, Any] = {
            **functions,
            "raise_exception": _raise_exception,
            "strftime_now": _strftime_now,
        }
        self.globals = dict(self._functions)
        available = {name: self.filters[name] for name in _FILTERS}
        available["tojson"] = _tojson
        self.filters = {name: self._metered(name, function) for name, function in available.items()}
        self.tests = {name: self._metered(name, function) for name, function in self.tests.items()}
        # A filter that needs the context is never computed at compile time.
        self.filters[_CHARGE] = pass_context(lambda _, value: self.charge(value))
        self.filters[_EACH] = pass_context(lambda _, value, weight: self._each(value, weight))

    def spend(self, units: int) -> None:
        self._left -= units
        if self._left < 0:
            raise SecurityError("it takes more work than a chat template needs")

    def charge(self, value: Any) -> Any:
        """Spend the size of a value, and return it; an iterator is returned as a list."""
        views = (Iterator, ItemsView, KeysView, ValuesView)
        if isinstance(value, views) and not isinstance(value, LoopContext):
            value = list(itertools.islice(value, self._left + 1))
        self.spend(_size(value, self._left))
        return value

    def _each(self, value: Any, weight: int) -> Any:
        """Spend the work of a loop over a value: ``weight`` for each iteration."""
        value = self.charge(value)
        self.spend(weight * (len(value) if hasattr(value, "__len__") else 1))
        return value

    def call(self, context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        args = tuple(map(self.charge, args))
        kwargs = {name: self.charge(value) for name, value in kwargs.items()}
        self.spend(1)
        if isinstance(function, (Macro, LoopContext)):
            self.spend(self.weight * (1 + sum(len(value) for value in args if hasattr(value, "__len__"))))
        elif not any(function is known for known in self._functions.values()):
            owner, name = getattr(function, "__self__", None), getattr(function, "__name__", "")
            if not isinstance(owner, (str, list, tuple, dict)) or name not in _METHODS:
                raise SecurityError(f"{name or type(function).__name__} is not available")
            self.charge(owner)
            self._check(name, (owner, *args))
        elif function is range:
            self.spend(len(range(*args)))
        return super().call(context, function, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        self.charge(left)
        self.charge(right)
        for value, other in ((left, right), (right, left)):
            if isinstance(value, int) and abs(value) > _MAX_INTEGER:
                raise SecurityError("its integers are too large")
            if operator == "*" and isinstance(value, (str, list, tuple)) and isinstance(other, int):
                self.spend(len(value) * max(0, other))
        if operator == "**" and not all(
            isinstance(value, int) and abs(value) < 64 for value in (left, right)
        ):
            raise SecurityError("its powers are too large")
        if operator == "%" and isinstance(left, str):
            raise SecurityError("formatting is not available")
        return super().call_binop(context, operator, left, right)

    def _metered(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)  # with the attributes that tell jinja to pass its context
        def metered(*args: Any, **kwargs: Any) -> Any:
            args = tuple(map(self.charge, args))
            self._check(name, [value for value in args if not isinstance(value, _Environment)], **kwargs)
            for value in kwargs.values():
                self.charge(value)
            return function(*args, **kwargs)

        return metered

    def _check(self, name: str, args: Any, **kwargs: Any) -> None:
        """Spend the work of filters and methods whose results are larger than their arguments."""
        texts = [value for value in (*args, *kwargs.values()) if isinstance(value, str)]
        lists = [len(value) for value in args if isinstance(value, (str, list, tuple, dict))]
        if name == "replace" and len(texts) >= 3:
            text, old, new = texts[:3]
            self.spend((text.count(old) if old else len(text) + 1) * len(new))
        elif name == "join":
            self.spend(max(map(len, texts), default=0) * max(lists, default=0))
        elif name in ("tojson", "indent"):
            for option in (*args[1:], *kwargs.values()):
                if (len(option) if isinstance(option, str) else int(option or 0)) > _MAX_INDENT:
                    raise SecurityError(f"{name} indents by more than {_MAX_INDENT}")
            self.spend(_MAX_INDENT * sum(_size(value, self._left) for value in args))


def _size(value: Any, limit: int) -> int:
    """Return how many characters and elements a value has; counting stops beyond the limit.

    A list may contain another list many times, so that its text is exponentially longer than its memory.
    """
    total, stack = 0, [value]
    while stack and total <= limit:
        part = stack.pop()
        total += 1
        if isinstance(part, str):
            total += len(part)
        elif isinstance(part, int):
            total += part.bit_length() // 32
        elif isinstance(part, Mapping):
            stack += [*part.keys(), *part.values()]
        elif isinstance(part, (list, tuple, set, frozenset)):
            stack += part
        elif isinstance(part, range):
            total += len(part)
    return total


def _weight(node: nodes.Node) -> int:
    return 1 + sum(1 for _ in node.find_all(nodes.Node))


class _Metered(NodeTransformer):
    """Inserts the filters that spend units into a template's syntax tree."""

    def _charged(self, node: Any) -> nodes.Filter:
        return nodes.Filter(node, _CHARGE, [], [], None, None, lineno=node.lineno)

    def visit_For(self, node: nodes.For) -> nodes.Node:
        weight = nodes.Const(_weight(node), lineno=node.lineno)
        self.generic_visit(node)
        node.iter = nodes.Filter(node.iter, _EACH, [weight], [], None, None, lineno=node.lineno)
        return node

    def visit_Output(self, node: nodes.Output) -> nodes.Node:
        self.generic_visit(node)
        node.nodes = [
            self._charged(
                nodes.Const(part.data, lineno=part.lineno) if type(part) is nodes.TemplateData else part
            )
            for part in node.nodes
        ]
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Node:
        self.generic_visit(node)
        node.nodes = [self._charged(part) for part in node.nodes]
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Node:
        self.generic_visit(node)
        node.expr = self._charged(node.expr)
        for operand in node.ops:
            operand.expr = self._charged(operand.expr)
        return node

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Node:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = self._charged(node.node)
        return node


class _Generation(Extension):
    """The tag ``{% generation %}``, which marks the response for training."""

    tags = {"generation"}  # noqa: RUF012

    def parse(self, parser: Any) -> list[nodes.Node]:
        next(parser.stream)
        body: list[nodes.Node] = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return body


class _Namespace(Namespace):
    def __init__(*args: Any, **kwargs: Any) -> None:  # no name, so that a template may use each
        Namespace.__init__(args[0])
        for name, value in dict(*args[1:], **kwargs).items():
            args[0][name] = value

    def __setitem__(self, name: str, value: Any) -> None:
        if name.startswith("_"):  # Python's own attributes, such as __class__
            raise SecurityError(f"a namespace cannot have the attribute {name}")
        super().__setitem__(name, value)

    def __repr__(self) -> str:
        return "<Namespace>"  # its attributes are not counted where it is written


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: Any = None,
    separators: Any = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
