"""``python -m masktools_train RECIPE``: the same as ``masktools train RECIPE``, for launchers such as torchrun."""

import sys

from masktools.cli.app import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
