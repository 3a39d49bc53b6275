"""The ``ziprerank`` command: its entry point, and how every failure becomes one line and an exit status."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from ziprerank_integrations.errors import QueryError, ZipRerankError, one_line, require

_INTERRUPTED = 130  # 128 + SIGINT, as shells have it


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``ziprerank`` command.

    Args:
        argv: The arguments; None takes those of the process.

    Returns:
        The exit status: 0, 1 for a failure, 2 for bad usage, 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A page may be named with characters that the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _run(arguments if arguments else ["--help"])
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reader has left, as `head` does. Nothing more can be said, not even at interpreter exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _complain("interrupted", _INTERRUPTED)
    except ZipRerankError as error:
        return _complain(str(error), 2 if isinstance(error, QueryError) else 1)
    except OSError as error:
        named = error.filename is not None and error.strerror is not None
        return _complain(f"{error.filename}: {error.strerror}" if named else str(error), 1)
    except ValueError as error:
        return _complain(str(error), 2)
    except Exception as error:
        if os.environ.get("ZIPRERANK_TRACEBACK") is not None:
            raise
        what = f"{type(error).__name__}: {error}"
        return _complain(f"unexpected {what} (ZIPRERANK_TRACEBACK=1 shows where)", 1)


def _run(arguments: list[str]) -> int:
    typer = require("typer", "cli", purpose="the ziprerank command")
    require("rich", "cli", purpose="the ziprerank command")
    from ziprerank_integrations.cli.app import app

    try:
        # Outside the standalone mode, errors come here instead of being printed over several lines.
        status = typer.main.get_command(app).main(
            args=arguments, prog_name="ziprerank", standalone_mode=False
        )
    except typer.Abort:
        return _complain("interrupted", _INTERRUPTED)
    except Exception as error:
        # Typer has its own copy of click's exceptions in some versions and click's in others.
        explain = getattr(error, "format_message", None)
        if explain is None:
            raise
        context = getattr(error, "ctx", None)
        command = "ziprerank" if context is None else context.command_path
        return _complain(f"{explain().rstrip('.')}. See '{command} --help'.", 2)
    if status == _INTERRUPTED:
        return _complain("interrupted", _INTERRUPTED)
    return status if isinstance(status, int) else 0


def _complain(message: str, status: int) -> int:
    sys.stderr.write(f"ziprerank: {one_line(message)}\n")
    return status
