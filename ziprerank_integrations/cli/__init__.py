"""The ``ziprerank`` command: the entry point, which turns every failure into one line and an exit status."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from ziprerank_integrations.errors import (
    QueryError,
    UnsupportedOptionError,
    ZipRerankError,
    one_line,
    require,
)

_INTERRUPTED = 130  # 128 + SIGINT, as in shells


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``ziprerank`` command.

    Args:
        argv: The arguments; None means those of the process.

    Returns:
        The exit status: 0, 1 for a failure, 2 for bad usage, 130 after Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A page's name may contain characters that the terminal's encoding does not have.
            stream.reconfigure(errors="backslashreplace")
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        status = _run(arguments if arguments else ["--help"])
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        # The reading process has exited, such as `head`. Nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return _fail("interrupted", _INTERRUPTED)
    except ZipRerankError as error:
        return _fail(str(error), 2 if isinstance(error, (QueryError, UnsupportedOptionError)) else 1)
    except OSError as error:
        has_name = error.filename is not None and error.strerror is not None
        return _fail(f"{error.filename}: {error.strerror}" if has_name else str(error), 1)
    except ValueError as error:
        return _fail(str(error), 2)
    except Exception as error:
        if os.environ.get("ZIPRERANK_TRACEBACK") is not None:
            raise
        text = f"{type(error).__name__}: {error}"
        return _fail(f"unexpected {text} (ZIPRERANK_TRACEBACK=1 shows the traceback)", 1)


def _run(arguments: list[str]) -> int:
    typer = require("typer", "cli", purpose="the ziprerank command")
    require("rich", "cli", purpose="the ziprerank command")
    from ziprerank_integrations.cli.app import app

    try:
        # Without the standalone mode, errors are raised instead of printed over several lines.
        status = typer.main.get_command(app).main(
            args=arguments, prog_name="ziprerank", standalone_mode=False
        )
    except typer.Abort:
        return _fail("interrupted", _INTERRUPTED)
    except Exception as error:
        # Some versions of Typer have their own copy of click's exceptions, so they are recognised by method.
        format_message = getattr(error, "format_message", None)
        if format_message is None:
            raise
        context = getattr(error, "ctx", None)
        command = "ziprerank" if context is None else context.command_path
        return _fail(f"{format_message().rstrip('.')}. See '{command} --help'.", 2)
    if status == _INTERRUPTED:
        return _fail("interrupted", _INTERRUPTED)
    return status if isinstance(status, int) else 0


def _fail(message: str, status: int) -> int:
    sys.stderr.write(f"ziprerank: {one_line(message)}\n")
    return status
