"""The fields of a JSON request body, for the decoder (json_body.py) and the OpenAPI schema (openapi.py)."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from ziprerank_integrations.pages.sizes import Sizes

SizeRule = defstruct("SizeRule", [(field.name, int) for field in fields(Sizes)])


class ImageUrl(Struct):
    """The ``image_url`` of a part."""

    url: str


class Part(Struct):
    """A part of a document's content, as in chat requests."""

    type: str
    text: str | UnsetType | None = UNSET
    image_url: str | ImageUrl | UnsetType | None = UNSET


class Document(Struct):
    """A document that is an object, with exactly one of ``text``, ``image``, ``content``, ``same_as``."""

    text: Annotated[str | UnsetType | None, Meta(description="Rendered as a page.")] = UNSET
    image: Annotated[str | UnsetType | None, Meta(description="Data URI, base64, or a URL.")] = UNSET
    content: Annotated[list[Part] | UnsetType, Meta(description="One image, or texts.")] = UNSET
    same_as: Annotated[
        int | UnsetType | None, Meta(description="Index of an earlier document that this one repeats.")
    ] = UNSET
    drawn_from: Annotated[
        tuple[float, float, bool] | UnsetType | None,
        Meta(description="[height, width, scalable] of the page that the image was rendered from."),
    ] = UNSET


class DocumentParts(Struct):
    """All documents in one object, one part per document, as vLLM's clients send them."""

    content: list[Part]


class TextQuery(Struct):
    """A query that is an object."""

    text: str


class RerankBody(Struct):
    """The body of a request to rank documents."""

    query: str | TextQuery
    documents: Annotated[
        list[Annotated[str, Meta(description="Text, or an image's data URI.")] | Document] | DocumentParts,
        Meta(description="The candidates."),
    ]
    top_n: Annotated[
        Annotated[int, Meta(ge=0)] | UnsetType | None,
        Meta(description="How many results; left out or 0 returns all."),
    ] = UNSET
    return_documents: Annotated[
        bool | UnsetType | None, Meta(description="Whether results repeat their documents.")
    ] = UNSET
    return_evidence: Annotated[
        bool | UnsetType | None, Meta(description="Whether results report the visual tokens the model saw.")
    ] = UNSET
    keep_ratio: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | UnsetType | None,
        Meta(description="Share of each page's visual tokens that the language model sees."),
    ] = UNSET
    instruction: Annotated[
        str | UnsetType | None, Meta(description="What relevance means, in the prompt of a pointwise model.")
    ] = UNSET
    sizes: Annotated[
        SizeRule | UnsetType | None,  # type: ignore[valid-type]
        Meta(description="The size rule by which the client rendered pages; see /v1/model."),
    ] = UNSET
    on_error: Annotated[
        Literal["raise", "last"] | UnsetType | None,
        Meta(description="Whether a document that is not readable fails the request, or is ranked last."),
    ] = UNSET
    model: Annotated[
        Any, Meta(description="Ignored: a server has one model, and the response has its name.")
    ] = UNSET
