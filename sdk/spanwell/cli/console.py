"""What `spanwell` writes to the terminal: one line at a time, each under the name of who said it."""

import sys

COLOURS = {"collector": 36, "proxy": 32, "worker": 35, "dashboard": 34, "demo": 33}
WIDTH = 9


def write(text: str) -> None:
    """One line to standard output. A reader who has gone away is no reason to stop."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        return


def say(name: str, line: str) -> None:
    """A line of a child process's output, or about it."""
    write(f"{paint(name.ljust(WIDTH), COLOURS.get(name, 0))} | {line}")


def paint(text: str, colour: int) -> str:
    """`text` in an ANSI colour, if somebody is looking at a terminal."""
    return f"\x1b[{colour}m{text}\x1b[0m" if colour and sys.stdout.isatty() else text


def fail(message: str, code: int = 1) -> int:
    """Say what is wrong on standard error and give back the exit code."""
    sys.stderr.write(f"error: {message}\n")
    return code
