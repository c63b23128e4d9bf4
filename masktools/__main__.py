"""``python -m masktools`` is the program ``masktools``."""

import sys

from masktools.cli.app import main

__all__: list[str] = []

sys.exit(main())
