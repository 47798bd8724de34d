"""``python -m deploy`` is the console script."""

from __future__ import annotations

import sys

from deploy.console import main

sys.exit(main())
