"""The text of the rendered pages: the documentation that is installed on this machine."""

from __future__ import annotations

import ast
import gzip
import hashlib
import html
import json
import logging
import random
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path

from ziprerank_integrations.atomic import write_text

LOG = logging.getLogger(__name__)

PROSE = re.compile(r"[A-Za-z]{2,}")
ROFF_ESCAPE = re.compile(r"\\(?:f\[?\w+\]?|s[-+]?\d|[&/,|^:%])|\\\*\[?\w+\]?")
KEPT_MACROS = {".SH", ".SS", ".B", ".I", ".BR", ".RB", ".IR", ".RI", ".BI", ".IB", ".TP", ".Nd", ".Sh", ".It"}


def _roff(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if line.startswith(("'", '.\\"')):
            continue
        if line.startswith("."):
            head, _, rest = line.partition(" ")
            line = (
                rest.replace('"', "")
                if head in KEPT_MACROS
                else ("\n" if head in {".PP", ".P", ".LP", ".Pp"} else "")
            )
        line = ROFF_ESCAPE.sub("", line).replace("\\-", "-").replace("\\(aq", "'").replace("\\e", "\\")
        lines.append(line)
    return "\n".join(lines)


def _markup(text: str) -> str:
    text = re.sub(r"(?is)<(script|style|pre|head|nav).*?</\1>", " ", text)
    text = re.sub(r"(?i)</?(p|h\d|li|tr|div|section|br)\b[^>]*>", "\n\n", text)
    return html.unescape(re.sub(r"<[^>]+>", "", text))


def _docstrings(text: str) -> str:
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError):
        return ""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, kinds)]
    return "\n\n".join(doc for doc in docstrings if doc and len(doc) > 80)


def _read(path: Path) -> str:
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    text = raw[:400_000].decode("utf-8", "ignore")
    name = path.name.removesuffix(".gz")
    if re.search(r"\.[1-8]\w*$", name):
        return _roff(text)
    if name.endswith((".html", ".htm")):
        return _markup(text)
    if name.endswith(".py"):
        return _docstrings(text)
    return text


def clean(text: str) -> str:
    """Return the running prose: paragraphs of mostly words, one space between words, ASCII.

    Args:
        text: The decoded contents of a documentation file.

    Returns:
        Paragraphs separated by newlines; empty if nothing readable is left.
    """
    kept = []
    for paragraph in re.split(r"\n\s*\n", text):
        line = " ".join(re.sub(r"[=*#~_`|<>{}\\^-]{2,}|[*`|\\{}]", " ", paragraph).split())
        line = (
            line.replace("\u2019", "'").replace("\u2018", "'").replace("\u201c", '"').replace("\u201d", '"')
        )
        line = line.replace("\u2014", " - ").replace("\u2013", "-").encode("ascii", "ignore").decode()
        words = line.split()
        if not words or max(map(len, words)) > 40:
            continue
        good = sum(bool(PROSE.search(word)) for word in words)
        if good >= 0.7 * len(words) and (len(words) >= 6 or (len(words) > 1 and good == len(words))):
            kept.append(line)
    return "\n".join(kept)


def _sources(seed: int) -> Iterator[Path]:
    roots = [
        (Path("/usr/share/doc"), ("*.gz", "*.txt", "*.html", "*.md", "*.rst", "copyright", "README*")),
        (Path("/usr/share/man"), ("man[1-8]/*.gz",)),
        (Path(sysconfig.get_paths()["stdlib"]), ("*.py", "*/*.py")),
        (Path(sysconfig.get_paths()["purelib"]), ("*.py", "*.md", "*.rst", "*.txt")),
        (Path("/usr/share"), ("vim/vim*/doc/*.txt", "cmake*/Help/**/*.rst", "perl/**/*.pod")),
        (
            Path.home() / ".rustup/toolchains",
            ("stable*/share/doc/rust/html/*/*.html", "stable*/share/doc/rust/html/book/**/*.html"),
        ),
    ]
    for root, patterns in roots:
        files: set[Path] = set()
        for pattern in patterns:
            files.update(root.glob(pattern) if "/" in pattern else root.rglob(pattern))
        ordered = sorted(files)
        random.Random(seed).shuffle(ordered)
        LOG.info("%s: %d files", root, len(ordered))
        yield from ordered[:5000]


def held_out(text: str) -> bool:
    """Return whether a document is for the evaluation only: a tenth of all, by a hash of its text."""
    return hashlib.sha256(text.encode()).digest()[0] < 26


def _is_repetitive(text: str) -> bool:
    # One vendor's command line has thousands of pages of the same sentences; an eighth of them is enough.
    return text.startswith("gcloud ") and hashlib.sha256(text.encode()).digest()[1] >= 32


def gather(cache: Path, seed: int = 0) -> tuple[list[str], list[str]]:
    """Collect documents, or read them from the cache of an earlier run.

    Args:
        cache: A JSONL file, written by the first call. It is not published.
        seed: Seed of the order of the files.

    Returns:
        Documents to train on, and documents for the evaluation; exact and near duplicates (by their first
        400 characters) are dropped, so that no text, such as a licence, is in both.
    """
    if not cache.exists():
        seen: set[str] = set()
        documents = []
        for path in _sources(seed):
            try:
                if not path.is_file() or path.is_symlink():
                    continue
                text = clean(_read(path))[:60_000]
            except (OSError, EOFError, ValueError, gzip.BadGzipFile):
                continue
            if len(text) < 1200:
                continue
            keys = {" ".join(text[start : start + 200].split()) for start in (0, 600)}
            if keys & seen:
                continue
            seen |= keys
            documents.append(text)
        cache.parent.mkdir(parents=True, exist_ok=True)
        write_text(cache, "".join(json.dumps(text) + "\n" for text in documents))
    documents = [json.loads(line) for line in cache.read_text().splitlines()]
    documents = [text for text in documents if not _is_repetitive(text)]
    random.Random(seed).shuffle(documents)
    return [d for d in documents if not held_out(d)], [d for d in documents if held_out(d)]
