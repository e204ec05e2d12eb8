"""Open a page in the browser on all runs below a folder, while they train and after."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
from pathlib import Path

from fromnoise.cli.parser import Parser
from fromnoise.common.errors import UsageError
from fromnoise.common.extras import extra
from fromnoise.common.text import quoted


def add_arguments(parser: Parser) -> None:
    """FOLDER, where to listen, and whether to open the browser."""
    parser.add_argument(
        "folder", metavar="FOLDER", nargs="?", default="runs", help="a run, or a folder of runs (default: runs)"
    )
    parser.flag("port", type=int, metavar="N", help="where to listen (default: 8420, or the next that is free)")
    parser.flag(
        "host",
        default="127.0.0.1",
        metavar="ADDRESS",
        help="where others may reach it; needs --token (default: only here)",
    )
    parser.flag("token", metavar="TEXT", help="what everyone must know who opens it: at least 16 letters and digits")
    parser.flag("no_browser", action="store_true", help="only print the address, and open no browser")
    parser.flag(
        "until_closed",
        action="store_true",
        help="end two minutes after the last page was closed and no run trains any more",
    )


def run(args: argparse.Namespace) -> None:
    """Serve until the process is stopped; the address is the last word of a line."""
    check_installed()
    if args.port is not None and not 0 < args.port < 65536:
        raise UsageError(f"--port is {args.port}, but ports are numbers from 1 to 65535; give another, or leave it out")
    folder = Path(args.folder)
    if os.path.exists(folder) and not os.path.isdir(folder):  # noqa: PTH110, PTH112 - Path's raise where none may look
        raise UsageError(f"{folder} is a file; give a run folder, or a folder of runs")

    from fromnoise.studio.serving import Place, serve

    until = "" if args.until_closed else " until you press Ctrl-C"

    def announce(address: str) -> None:
        print(f"The studio is open{until}: {address}", flush=True)
        if not args.no_browser:
            import webbrowser

            # A browser in the terminal is waited for, and would wait for the page itself.
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()

    serve(folder, Place(args.host, args.port, args.token), announce, args.until_closed)


def open_beside(folder: Path) -> None:
    """Open the studio on `folder` as a process of its own, which prints its address here.

    It goes on after the training until two minutes after its last page was closed; neither ends the other.
    """
    command = [sys.executable, "-m", "fromnoise", "studio", str(folder), "--until_closed"]
    nothing = subprocess.DEVNULL
    process = subprocess.Popen(
        command, stdin=nothing, stdout=subprocess.PIPE, stderr=nothing, text=True, start_new_session=True
    )

    def hand_on() -> None:
        line = process.stdout.readline().strip() if process.stdout else ""
        print(line or f"the studio did not open; `fromnoise studio {quoted(folder)}` tells why", flush=True)

    threading.Thread(target=hand_on, daemon=True).start()


def check_installed() -> None:
    """UsageError where the extra is missing."""
    with extra("studio", "the studio"):
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
