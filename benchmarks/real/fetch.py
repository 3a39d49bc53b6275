"""Download the packages and extract their PDFs into build/real: ``python -m benchmarks.real.fetch``.

It runs ``apt-get download`` and ``dpkg-deb``, so it needs Debian or a system based on it. A package that is
not in apt's sources can be read from ``--debs``, a folder with .deb files. The SHA-256 sums of packages and
PDFs are checked; PDFs that already exist are kept.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import io
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.real.dataset import FOLDER, QUESTIONS, Document, load
from ziprerank_integrations import atomic


class FetchError(Exception):
    """A package or PDF that cannot be downloaded, or whose contents differ."""


def fetch(document: Document, folder: Path, debs: Path | None = None) -> Path:
    """Return the path of a document's PDF in ``folder``; download and extract it if it is missing.

    Args:
        document: The document.
        folder: Where the PDF is written.
        debs: A folder that is searched for the package first.

    Raises:
        FetchError: If the package cannot be downloaded, or a SHA-256 sum differs.
    """
    pdf = document.pdf(folder)
    if not pdf.exists() or _sha256(pdf.read_bytes()) != document.pdf_sha256:
        contents = _extract(document, _package(document, debs))
        _check(contents, document.pdf_sha256, f"{document.path} of {_name(document)}")
        folder.mkdir(parents=True, exist_ok=True)
        with atomic.replacing(pdf) as temporary:
            temporary.write_bytes(contents)
    return pdf


def _name(document: Document) -> str:
    return f"{document.package}={document.version}"


def _sha256(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def _check(contents: bytes, expected: str, name: str) -> None:
    actual = _sha256(contents)
    if actual != expected:
        raise FetchError(f"{name} has the SHA-256 {actual} and not {expected}")


def _package(document: Document, debs: Path | None) -> bytes:
    with tempfile.TemporaryDirectory() as temporary:
        # In the file's name, apt encodes the colon of a version.
        name = f"{document.package}_{document.version.replace(':', '%3a')}_all.deb"
        local = None if debs is None else debs / name
        if local is None or not local.exists():
            local = Path(temporary, name)
            error = _run(["apt-get", "download", "--quiet", _name(document)], Path(temporary))
            if error is not None or not local.exists():
                raise FetchError(
                    f"{_name(document)} cannot be downloaded: {error or 'another file was written'}. "
                    "Run apt-get update; if apt's sources do not have this version any more, get the .deb "
                    "from an archive of old packages and pass its folder as --debs"
                )
        contents = local.read_bytes()
    _check(contents, document.deb_sha256, name)
    return contents


def _run(command: list[str], folder: Path) -> str | None:
    """Return the last line of the command's errors, None if it succeeds."""
    try:
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError:
        return f"{command[0]} is not installed"
    lines = result.stderr.strip().splitlines()
    return None if result.returncode == 0 else (lines[-1] if lines else f"exit status {result.returncode}")


def _extract(document: Document, package: bytes) -> bytes:
    with tempfile.TemporaryDirectory() as temporary:
        deb = Path(temporary, "package.deb")
        deb.write_bytes(package)
        try:
            contents = subprocess.run(
                ["dpkg-deb", "--fsys-tarfile", deb], check=True, capture_output=True
            ).stdout
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise FetchError(f"dpkg-deb cannot read {_name(document)}: {error}") from error
    with tarfile.open(fileobj=io.BytesIO(contents)) as archive:
        try:
            file = archive.extractfile(f".{document.path}")
        except KeyError:
            file = None
        if file is None:
            raise FetchError(f"{_name(document)} does not contain the file {document.path}")
        data = file.read()
    return gzip.decompress(data) if document.path.endswith(".gz") else data


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch all documents; return 1 if one of them is missing."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.real.fetch", description=__doc__)
    parser.add_argument("--questions", type=Path, default=QUESTIONS)
    parser.add_argument("--output", type=Path, default=FOLDER)
    parser.add_argument("--debs", type=Path, help="a folder with .deb files, which are not downloaded")
    args = parser.parse_args(arguments)
    failed = 0
    for document in load(args.questions).documents.values():
        try:
            sys.stdout.write(f"{fetch(document, args.output, args.debs)}\n")
        except FetchError as error:
            sys.stderr.write(f"{error}\n")
            failed += 1
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
