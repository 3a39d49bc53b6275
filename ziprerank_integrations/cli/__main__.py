"""``python -m ziprerank_integrations.cli``, for launchers that start modules."""

from __future__ import annotations

import sys

from ziprerank_integrations.cli import main

sys.exit(main())
