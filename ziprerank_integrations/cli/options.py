"""The reranker's options on the command line, with types and defaults from the options classes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import typer

from ziprerank_integrations.options import (
    CALL_OPTIONS,
    CASCADE_OPTIONS,
    CallOptions,
    CascadeOptions,
    EngineOptions,
)

Command = TypeVar("Command", bound=Callable[..., None])
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Hub id, folder or 'tiny'. Default: the published model with a CUDA device, else 'tiny'.",
    ),
]

RANK, SERVE, EVAL, INDEX, SHOW = "rank", "serve", "eval", "index", "show"
_ALL = (RANK, SERVE, EVAL, INDEX, SHOW)
_QUERY = (RANK, SERVE, EVAL, SHOW)
# By field: the class that defines it, the commands that have the option, and its help text.
_OPTIONS: dict[str, tuple[type[Any], tuple[str, ...], str]] = {
    "scorer": (EngineOptions, _ALL, "listwise or pointwise. Default: what the checkpoint's files say."),
    "embedder": (EngineOptions, _ALL, "Hub id or folder of the model for --interaction embedder."),
    "first_model": (
        CascadeOptions,
        _QUERY,
        "Model, usually pointwise, that ranks all pages before --model ranks the best again.",
    ),
    "first_scorer": (CascadeOptions, _QUERY, "How --first-model ranks, as --scorer for --model."),
    "first_keep": (CascadeOptions, _QUERY, "How many of the first model's best pages --model ranks again."),
    "device": (EngineOptions, _ALL, "cuda, cuda:1, mps or cpu. Default: the best available."),
    "compile": (
        EngineOptions,
        (SERVE, EVAL, INDEX, SHOW),
        "Run the layers through torch.compile; slow at first.",
    ),
    "quantize": (EngineOptions, _ALL, "Weights in fewer bits, with torchao"),
    "keep_ratio": (
        CallOptions,
        _QUERY,
        "Share of visual tokens that are kept, in (0, 1]. Default: the checkpoint's.",
    ),
    "interaction": (CallOptions, (RANK,), "What decides the visual tokens that are kept"),
    "window": (CallOptions, (RANK,), "Pages in one forward pass of a listwise model, 2 to 20. Default: 20."),
    "stride": (CallOptions, (RANK,), "Pages that the window moves by. Default: half a window."),
    "instruction": (CallOptions, _ALL, "What relevance means, in a pointwise checkpoint's prompt."),
    "retriever_weight": (
        CallOptions,
        (SERVE, EVAL, SHOW),
        "The first stage's share of the order, in [0, 1); 0 is the model alone.",
    ),
    "prior_order": (CallOptions, (SERVE,), "Which scores of a first stage are better"),
    "calibrate": (CallOptions, _QUERY, "Subtract a listwise model's preference for some positions."),
    "permutations": (CallOptions, _QUERY, "Forward passes per window, each with the pages rotated."),
    "strategy": (CallOptions, _QUERY, "How a listwise model ranks more pages than a window"),
    "max_side": (CallOptions, _ALL, "Longest edge of a page in pixels, a multiple of 32."),
    "on_error": (CallOptions, (RANK, SERVE, INDEX), "Fail on an unreadable page, or rank it last"),
    "page_store": (EngineOptions, _QUERY, "Folder in which page features are kept between runs."),
    "cache_bytes": (
        EngineOptions,
        (SERVE, SHOW),
        "Bytes of memory for recent pages' features; 0 disables it, auto depends on the device.",
    ),
}


def with_options(command: str) -> Callable[[Command], Command]:
    """Replace ``**options`` in the signature of a command's function by the options of that command."""

    def decorate(function: Command) -> Command:
        signature = inspect.signature(function, eval_str=True)
        parameters = [
            parameter
            for parameter in signature.parameters.values()
            if parameter.kind is not parameter.VAR_KEYWORD
        ]
        added = [_parameter(name) for name, (_, commands, _) in _OPTIONS.items() if command in commands]
        function.__signature__ = signature.replace(parameters=[*parameters, *added])  # type: ignore[attr-defined]
        return function

    return decorate


def check_values(options: Mapping[str, Any]) -> None:
    """Check the options of a call and of a cascade, among others.

    Raises:
        ValueError: If a value is out of its range.
    """
    CallOptions(**{name: value for name, value in options.items() if name in CALL_OPTIONS})
    CascadeOptions(**{name: value for name, value in options.items() if name in CASCADE_OPTIONS})


def _parameter(name: str) -> inspect.Parameter:
    options_class, _, text = _OPTIONS[name]
    type_ = get_type_hints(options_class)[name]
    choices = [
        value for part in (type_, *get_args(type_)) if get_origin(part) is Literal for value in get_args(part)
    ]
    if choices:
        # As text: the options class checks the value, and its message is the same everywhere.
        text, type_ = f"{text}: {' or '.join(choices)}.", str if get_origin(type_) is Literal else str | None
    parser = None
    if int in get_args(type_) and choices:
        parser = _integer_or_text
    flag = "--" + name.replace("_", "-")
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=getattr(options_class(), name),
        annotation=Annotated[type_, typer.Option(flag, help=text, parser=parser)],
    )


def _integer_or_text(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
