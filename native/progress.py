"""What a set-up tells its user."""
import contextlib
import time


def report(line):
    print(f"setup: {line}", flush=True)


def megabytes(n):
    return f"{n / 1e6:.1f} MB"


@contextlib.contextmanager
def stopwatch():
    """Yields a function that returns the seconds since the start."""
    start = time.monotonic()
    yield lambda: time.monotonic() - start
