"""Starts the Python Session-Buddy with its tracking tools, for the interop tests.

    session_buddy.py http PORT     streamable HTTP on 127.0.0.1:PORT, path /mcp
    session_buddy.py stdio         stdin and stdout; log lines reach stdout as well
    session_buddy.py stdio-clean   stdin and stdout; stdout carries messages alone
    session_buddy.py stock PORT    what `session-buddy start` serves, which is always at port 8678

`session-buddy start` serves an object that lacks track_session_start and track_session_end;
`session_buddy.mcp.server` exports the one that has them and offers no command for it.
Deliberately not here: any change to the server itself. It runs as it was released.
"""

import os
import sys

USAGE = 2


def reserve_stdout():
    """Moves stdout to a descriptor of its own; whatever else is printed goes to stderr."""
    messages = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return messages


def give_back_stdout(messages):
    """Makes the reserved descriptor stdout again for Python's own stream object only."""
    sys.stdout = open(messages, "w", encoding="utf-8", closefd=True)


def serve(arguments):
    match arguments:
        case ["http", port] if port.isdecimal():
            from session_buddy.mcp.server import mcp

            mcp.run(
                transport="streamable-http",
                host="127.0.0.1",
                port=int(port),
                path="/mcp",
                show_banner=False,
            )
        case ["stock", port] if port.isdecimal():
            from session_buddy.server_optimized import run_server

            run_server(host="127.0.0.1", port=int(port))
        case ["stdio"]:
            from session_buddy.mcp.server import mcp

            mcp.run(transport="stdio", show_banner=False)
        case ["stdio-clean"]:
            messages = reserve_stdout()
            from session_buddy.mcp.server import mcp

            # The MCP library takes sys.stdout.buffer when it starts to serve; handlers that were
            # set up during the import keep the stream they had, which is stderr by now.
            sys.stdout.flush()
            give_back_stdout(messages)
            mcp.run(transport="stdio", show_banner=False)
        case _:
            print(__doc__, file=sys.stderr)
            return USAGE
    return 0


if __name__ == "__main__":
    # This file bears the package's name: its own directory must not hide the package.
    sys.path.pop(0)
    sys.exit(serve(sys.argv[1:]))
