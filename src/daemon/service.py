# Executed in the main interpreter before a service script: what the server's signals to end mean there.

import signal

told = []


def end(number, frame):
    """SystemExit in the script, once: what it does at its end is not disturbed by a second signal."""
    if not told:
        told.append(number)
        raise SystemExit(0)


for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGXCPU):
    signal.signal(number, end)
