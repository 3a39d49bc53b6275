"""The call that the page shows, as code: LlamaIndex, LangChain, Haystack, Python, the command line, curl."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

_WIDTH = 88


class Candidate(NamedTuple):
    """A page as a program names it: a file, and the number in it; None for an image.

    ``score`` is that of the first stage; None for a page without text.
    """

    path: str
    number: int | None
    score: float | None = None


@dataclass(frozen=True)
class Call:
    """A call of the page.

    Attributes:
        query: The question.
        candidates: The pages, in the order in which they were ranked.
        options: The arguments of `connect`.
        url: The address of the server that ranks so; None if the page's server ranks in another way.
    """

    query: str
    candidates: tuple[Candidate, ...]
    options: Mapping[str, Any]
    url: str | None

    @property
    def files(self) -> list[str]:
        """The files, each once."""
        return list(dict.fromkeys(candidate.path for candidate in self.candidates))

    @property
    def has_prior(self) -> bool:
        """Whether the scores of the first stage have a share in the order."""
        return bool(self.options.get("retriever_weight"))


def all_of(call: Call) -> dict[str, str]:
    """Return the code of a call by its title."""
    return {
        "Python": python(call),
        "LlamaIndex": llama_index(call),
        "LangChain": langchain(call),
        "Haystack": haystack(call),
        "Command line": command(call),
        "curl": curl(call),
    }


def python(call: Call) -> str:
    """Return the call with `connect`."""
    page = _by_number(
        call,
        "Page.from_pdf_page(files[file], number)",
        "Page.from_image(files[file])",
        "{pdf} if number else {image}",
    )
    return _program(
        ["from ziprerank_integrations import Page", "from ziprerank_integrations.connect import connect"],
        call,
        [
            _comprehension(call, "pages", page),
            *(["prior = [score for *_, score in order]"] if call.has_prior else []),
            f"reranker = connect({_arguments(call)})",
            f"for item in reranker.rerank({call.query!r}, pages{', prior=prior' if call.has_prior else ''}):",
            "    print(item.rank, item.page.source, item.score)",
        ],
    )


def llama_index(call: Call) -> str:
    """Return the call with LlamaIndex's postprocessor."""
    metadata = _metadata(call, "file_path", '"page_label": str(number)')
    return _program(
        [
            "from llama_index.core.schema import NodeWithScore, TextNode",
            "from ziprerank_integrations.llama_index import ZipRerank",
        ],
        call,
        [
            _comprehension(call, "nodes", f"NodeWithScore(node=TextNode(metadata={metadata}){_score(call)})"),
            f"ranker = ZipRerank({_arguments(call)}, top_n=len(nodes))",
            f"for node in ranker.postprocess_nodes(nodes, query_str={call.query!r}):",
            "    print(node.metadata, node.score)",
        ],
    )


def langchain(call: Call) -> str:
    """Return the call with LangChain's document compressor."""
    metadata = _metadata(call, "source", '"page": number - 1')
    return _program(
        [
            "from langchain_core.documents import Document",
            "from ziprerank_integrations.langchain import ZipRerank",
        ],
        call,
        [
            _comprehension(call, "documents", f'Document("", metadata={metadata})'),
            *(["# LangChain's documents have no scores: their order counts."] if call.has_prior else []),
            f"ranker = ZipRerank({_arguments(call)}, top_n=len(documents))",
            f"for document in ranker.compress_documents(documents, {call.query!r}):",
            "    print(document.metadata)",
        ],
    )


def haystack(call: Call) -> str:
    """Return the call with Haystack's ranker."""
    metadata = _metadata(call, "file_path", '"page_number": number')
    return _program(
        [
            "from haystack import Document",
            "from ziprerank_integrations.haystack import ZipRerankRanker",
        ],
        call,
        [
            _comprehension(call, "documents", f"Document(meta={metadata}{_score(call)})"),
            f"ranker = ZipRerankRanker({_arguments(call)}, top_k=len(documents))",
            f'for document in ranker.run(query={call.query!r}, documents=documents)["documents"]:',
            "    print(document.meta, document.score)",
        ],
    )


def command(call: Call) -> str:
    """Return the call as a command, which ranks the pages in the order of the files."""
    files = " ".join(map(shlex.quote, call.files))
    options = {name: value for name, value in call.options.items() if name != "retriever_weight"}
    note = "# This command has no first stage: the order is the model's alone.\n" if call.has_prior else ""
    return f"{note}ziprerank rank {files} \\\n  --query {shlex.quote(call.query)} \\\n  {_flags(options)}\n"


def curl(call: Call) -> str:
    """Return the call of a server's API; one request has the pages of one PDF, or images."""
    own = {name: call.options[name] for name in ("keep_ratio", "retriever_weight") if name in call.options}
    served = {name: value for name, value in call.options.items() if name not in own}
    url = "http://127.0.0.1:8000" if call.url is None else call.url
    lines = [f"# the server: ziprerank serve {_flags(served)}"]
    if all(candidate.number is None for candidate in call.candidates):
        return "\n".join([*lines, *_curl_images(call, url, own)]) + "\n"
    if len(call.files) > 1:
        lines.append(
            "# One request has the pages of one PDF; this is the one with the best page of the first stage."
        )
    path = next(candidate.path for candidate in call.candidates if candidate.number is not None)
    numbers = ",".join(str(page.number) for page in call.candidates if page.path == path)
    fields = {"query": call.query, "pages": numbers, **own}
    # As --form-string, a question may start with @ or <.
    forms = [f"--form-string {shlex.quote(f'{name}={value}')}" for name, value in fields.items()]
    file = 'file=@"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
    request = [f"curl -s {url}/v1/rerank/pdf", f"-F {shlex.quote(file)}", *forms]
    return "\n".join([*lines, " \\\n  ".join(request)]) + "\n"


def _curl_images(call: Call, url: str, own: Mapping[str, Any]) -> list[str]:
    fields = "".join(f"{name}: {value}, " for name, value in own.items())
    images = " ".join(shlex.quote(candidate.path) for candidate in call.candidates)
    return [
        f"for image in {images}; do base64 < \"$image\" | tr -d '\\n' | jq -R '{{image: .}}'; done |",
        f"  jq -s --arg query {shlex.quote(call.query)} '{{query: $query, {fields}documents: .}}' |",
        f"  curl -s {url}/v1/rerank -H 'Content-Type: application/json' -d @-",
    ]


def _program(imports: list[str], call: Call, lines: list[str]) -> str:
    files = call.files
    order: list[tuple[Any, ...]] = [
        (
            files.index(candidate.path),
            candidate.number,
            *([_rounded(candidate.score)] if call.has_prior else []),
        )
        for candidate in call.candidates
    ]
    contents = "index of the file, page, score" if call.has_prior else "index of the file and the page"
    return (
        "\n".join(
            [
                *imports,
                "",
                *_list("files", map(repr, files)),
                f"# The {contents}, in the order of the first stage.",
                *_list("order", map(repr, order)),
                *lines,
            ]
        )
        + "\n"
    )


def _list(name: str, items: Iterable[str]) -> list[str]:
    lines = [f"{name} = ["]
    line = "   "
    for item in items:
        if len(line) + len(item) + 2 > _WIDTH and line.strip():
            lines.append(line)
            line = "   "
        line += f" {item},"
    return [*lines, line, "]"]


def _comprehension(call: Call, name: str, item: str) -> str:
    return f"{name} = [\n    {item}\n    for file, number{', score' if call.has_prior else ''} in order\n]"


def _score(call: Call) -> str:
    return ", score=score" if call.has_prior else ""


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 4)


def _by_number(call: Call, pdf: str, image: str, either: str) -> str:
    """Return the expression of a page: that of PDFs, that of images, or both where there are both."""
    images = sum(candidate.number is None for candidate in call.candidates)
    if 0 < images < len(call.candidates):
        return either.format(pdf=pdf, image=image)
    return image if images else pdf


def _metadata(call: Call, name: str, number: str) -> str:
    file = f'"{name}": files[file]'
    return _by_number(call, f"{{{file}, {number}}}", f"{{{file}}}", "({pdf} if number else {image})")


def _arguments(call: Call) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in call.options.items())


def _flags(options: Mapping[str, Any]) -> str:
    return " ".join(
        f"--{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in options.items()
    )
