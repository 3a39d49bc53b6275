"""The fields of JSON request bodies, for the decoder (json_body.py) and the OpenAPI schema (openapi.py)."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, defstruct

from ziprerank_integrations.pages.sizes import Sizes

SizeRule = defstruct("SizeRule", [(field.name, int) for field in fields(Sizes)])

Count = Annotated[
    Annotated[int, Meta(ge=0)] | UnsetType | None,
    Meta(description="How many results; left out or 0 returns all."),
]


class ImageUrl(Struct):
    """The ``image_url`` of a part."""

    url: str


class Part(Struct):
    """A part of a document's content, as in chat requests."""

    type: str
    text: str | UnsetType | None = UNSET
    image_url: str | ImageUrl | UnsetType | None = UNSET


class Passage(Struct):
    """A document of NVIDIA's API; of text and image, the image is ranked."""

    text: Annotated[str | UnsetType | None, Meta(description="Rendered as a page.")] = UNSET
    image: Annotated[str | UnsetType | None, Meta(description="Data URI, base64, or a URL.")] = UNSET


class Document(Passage):
    """A document that is an object; of ``text`` and ``image``, the image is ranked."""

    content: Annotated[
        list[Part] | UnsetType, Meta(description="One image, or texts; an image is ranked without its texts.")
    ] = UNSET
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


class Options(Struct, kw_only=True):
    """The options of a request in every dialect."""

    keep_ratio: Annotated[
        Annotated[float, Meta(gt=0, le=1)] | UnsetType | None,
        Meta(description="Share of each page's visual tokens that the language model sees."),
    ] = UNSET
    instruction: Annotated[
        str | UnsetType | None, Meta(description="What relevance means, in the prompt of a pointwise model.")
    ] = UNSET
    retriever_weight: Annotated[
        Annotated[float, Meta(ge=0, lt=1)] | UnsetType | None,
        Meta(description="The first stage's share of the order; 0 is the model alone."),
    ] = UNSET
    prior_order: Annotated[
        Literal["higher", "lower"] | UnsetType | None,
        Meta(description="Whether a higher first-stage score is better, or, of distances, a lower one."),
    ] = UNSET
    prior: Annotated[
        list[float | None] | UnsetType | None,
        Meta(description="The first stage's score of each document; left out: only the order is known."),
    ] = UNSET
    on_error: Annotated[
        Literal["raise", "last"] | UnsetType | None,
        Meta(description="Whether a document that is not readable fails the request, or is ranked last."),
    ] = UNSET
    model: Annotated[
        Any, Meta(description="Ignored: a server has one model, and the response has its name.")
    ] = UNSET


class RerankBody(Options, kw_only=True):
    """The body of a request to rank documents."""

    query: str | TextQuery
    documents: Annotated[
        list[Annotated[str, Meta(description="Text, or an image's data URI.")] | Document] | DocumentParts,
        Meta(description="The candidates."),
    ]
    top_n: Count = UNSET
    return_documents: Annotated[
        bool | UnsetType | None, Meta(description="Whether results repeat their documents.")
    ] = UNSET
    return_evidence: Annotated[
        bool | UnsetType | None, Meta(description="Whether results report the visual tokens the model saw.")
    ] = UNSET
    sizes: Annotated[
        SizeRule | UnsetType | None,  # type: ignore[valid-type]
        Meta(description="The size rule by which the client rendered pages; see /v1/model."),
    ] = UNSET
    rank_fields: Annotated[
        list[str] | UnsetType | None,
        Meta(description="Fields of documents that are ranked instead of text, in this order (Cohere)."),
    ] = UNSET
    max_tokens_per_doc: Annotated[
        Any, Meta(description="Ignored: the size of a page in tokens is the model's (Cohere).")
    ] = UNSET


class ReceivedBody(RerankBody, kw_only=True):
    """`RerankBody`, with fields by which other APIs are recognised; their values are not decoded."""

    top_k: UnsetType | None = UNSET
    truncation: UnsetType | None = UNSET
    input: UnsetType | None = UNSET


class TeiBody(Options, kw_only=True):
    """The body of a request to Text Embeddings Inference."""

    query: str
    texts: Annotated[
        list[Annotated[str, Meta(description="Text, or an image's data URI.")]],
        Meta(description="The candidates."),
    ]
    raw_scores: Annotated[
        bool | UnsetType | None, Meta(description="Whether scores are the model's logits.")
    ] = UNSET
    return_text: Annotated[
        bool | UnsetType | None, Meta(description="Whether results repeat their texts.")
    ] = UNSET


class RootBody(ReceivedBody, kw_only=True):
    """The body of a request to ``/rerank``: `ReceivedBody`, or `TeiBody`."""

    texts: list[str] | UnsetType = UNSET
    raw_scores: bool | UnsetType | None = UNSET
    return_text: bool | UnsetType | None = UNSET


class RankingBody(Options, kw_only=True):
    """The body of a request to NVIDIA's ``/v1/ranking``."""

    query: TextQuery | str
    passages: Annotated[list[Passage | str], Meta(description="The candidates.")]
    top_k: Count = UNSET
    truncate: Annotated[Any, Meta(description="Ignored: a long text is rendered as one page.")] = UNSET
