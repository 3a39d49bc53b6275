"""Page states in a folder, shared by processes and kept between them: one safetensors file per page."""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from ziprerank_integrations import atomic, fork
from ziprerank_integrations.engine.features import PageFeatures
from ziprerank_integrations.engine.page_kv import PageKV
from ziprerank_integrations.engine.scorers.base import PageState

_FORMAT = "1"
_SUFFIX = ".safetensors"
_MAX_HEADER_BYTES = 100_000_000  # the limit of the format; a broken file may declare any length
_PART_SECONDS = 3600
_logger = logging.getLogger(__name__)


class PageStore:
    """A bounded folder of page states. Thread-safe; several processes may share one folder.

    A file's name is a hash of the key and of ``identity``, and its header repeats both, so that a state of
    another checkpoint, dtype, instruction or size is never read. Files are written aside and renamed. A file
    that cannot be read is deleted; a folder that cannot be written to is only read from then on.

    Args:
        folder: The folder; it is created.
        identity: What states depend on besides their key; see `identity`.
        limit: The most bytes of all files; the least recently used are deleted.
    """

    def __init__(self, folder: Path, identity: str, limit: int) -> None:
        self._folder = folder
        self._identity = identity
        self._limit = limit
        self._lock = fork.lock()
        self._writable = True
        self._bytes: int | None = None

    def __contains__(self, key: str) -> bool:
        return self._path(key).exists()

    def get(self, key: str, device: torch.device) -> PageState | None:
        """Return the state of a key on a device, or None if there is none that can be read."""
        path = self._path(key)
        if not path.exists():
            return None
        try:
            with safe_open(path, framework="pt", device=str(device)) as file:
                header = file.metadata() or {}
                if header.get("identity") != self._identity or header.get("key") != key:
                    raise ValueError("it belongs to another page or checkpoint")
                state = _state(header, {name: file.get_tensor(name) for name in file.keys()})
            os.utime(path)
            return state
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            _logger.warning("%s is not used: %s", path, error)
            with suppress(OSError):
                path.unlink()  # so that the state is written again
            return None

    def put(self, key: str, state: PageState) -> None:
        """Write a state, unless it is there or the folder cannot be written to."""
        path = self._path(key)
        if not self._writable or path.exists():
            return
        tensors, fields = _parts(state)
        header = {"format": _FORMAT, "identity": self._identity, "key": key, **fields}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(suffix=".part", dir=path.parent)
            os.close(handle)
            try:
                save_file(
                    {name: part.cpu().contiguous() for name, part in tensors.items()}, temporary, header
                )
                atomic.sync(temporary)
                os.replace(temporary, path)
            finally:
                Path(temporary).unlink(missing_ok=True)
            self._make_room(path.stat().st_size)
        except (OSError, SafetensorError) as error:
            self._writable = False
            _logger.warning("nothing more is stored in %s: %s", self._folder, error)

    def _path(self, key: str) -> Path:
        name = hashlib.sha256(f"{_FORMAT}\0{self._identity}\0{key}".encode()).hexdigest()
        return self._folder / name[:2] / f"{name}{_SUFFIX}"

    def _make_room(self, added: int) -> None:
        """Delete the least recently used files if all together exceed the limit."""
        with self._lock:
            if self._bytes is not None and self._bytes + added <= self._limit:
                self._bytes += added
                return
            # Other processes add and delete too, so the folder is read again.
            files = []
            for path in self._folder.glob("*/*.part"):  # of a process that was killed
                with suppress(OSError):
                    if path.stat().st_mtime < time.time() - _PART_SECONDS:
                        path.unlink()
            for path in self._folder.glob(f"*/*{_SUFFIX}"):
                try:
                    status = path.stat()
                except FileNotFoundError:
                    continue
                files.append((status.st_mtime_ns, status.st_size, path))
            total = sum(size for _, size, _ in files)
            for _, size, path in sorted(files):
                if total <= self._limit:
                    break
                path.unlink(missing_ok=True)
                total -= size
            self._bytes = total


def identity(folder: Path, dtype: torch.dtype, quantize: str | None = None) -> str:
    """Return what page states of a checkpoint depend on: its config, its weights' headers and their dtype.

    Args:
        folder: The checkpoint's folder.
        dtype: The dtype of the loaded weights.
        quantize: How they are quantised, if they are.
    """
    content = hashlib.sha256((folder / "config.json").read_bytes())
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = file.read(min(length, _MAX_HEADER_BYTES))
        status = path.stat()
        content.update(f"\0{path.name}\0{status.st_size}\0{status.st_mtime_ns}\0".encode() + header)
    return f"{content.hexdigest()}:{dtype}" + ("" if quantize is None else f":{quantize}")


def _parts(state: PageState) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    fields = {"rows": state.rows, "columns": state.columns}
    if isinstance(state, PageKV):
        fields["start"] = state.start
        tensors = {"keys": state.keys, "values": state.values}
        if state.kept is not None:
            tensors["kept"] = state.kept
    else:
        tensors = {"embeddings": state.embeddings}
        tensors |= {f"deepstack.{level}": part for level, part in enumerate(state.deepstack)}
    return tensors, {name: str(value) for name, value in fields.items()}


def _state(header: dict[str, str], tensors: dict[str, torch.Tensor]) -> PageState:
    rows, columns = int(header["rows"]), int(header["columns"])
    if "keys" in tensors:
        start, kept = int(header["start"]), tensors.get("kept")
        return PageKV(tensors["keys"], tensors["values"], start, rows, columns, kept)
    levels = tuple(tensors[f"deepstack.{level}"] for level in range(len(tensors) - 1))
    return PageFeatures(tensors["embeddings"], levels, rows, columns)
