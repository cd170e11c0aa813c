"""``python -m app`` and the scripts ``agent-relay`` and ``agent-relay-server``."""

from __future__ import annotations

import gc
import os
import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    if sys.argv[1:] == ["--version"]:
        from app import __version__

        # The one answer that needs none of the rest, not even click.
        sys.stdout.write(f"agent-relay {__version__}\n")
        return
    # Looking for garbage takes a tenth of a short command's time, and it makes none; those that stay turn it on again.
    gc.disable()
    from app import cli

    code = cli.run(sys.argv[1:])
    if cli.end_quickly:
        # A command's process has nothing to tidy up that the system does not: skip taking the interpreter apart.
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
