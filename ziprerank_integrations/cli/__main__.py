"""``python -m ziprerank_integrations.cli``, for launchers that run modules."""

from __future__ import annotations

import sys

from ziprerank_integrations.cli import main

sys.exit(main())
