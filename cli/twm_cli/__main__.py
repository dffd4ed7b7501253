"""`python -m twm_cli` is `twm`."""

from __future__ import annotations

import sys

from twm_cli.main import main

sys.exit(main())
