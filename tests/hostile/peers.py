"""Part of `make hostile`: processes with httpd's uid at the sockets of its groups, at random, beside harmless clients.

HOSTILE_SECONDS (60) and HOSTILE_SEED (printed) choose how long and which. Each round lets some impostors
(impostor.py) connect at the same time, holds silent connections, and now and then restarts httpd gracefully; the canary must get each
answer, no script but its own may run, and at the end the process holds no more than before. Run by root, as
`PYTHONPATH=tests/harness:tests/hostile python tests/hostile/peers.py` in the environment of the live tests. Exit status 1 if
there is anything to complain of.
"""

from __future__ import annotations

import contextlib
import os
import random
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "harness"))

import impostor
import raw_http
from httpd import Httpd
from machine import daemon_account

SITE = """
MaxRequestWorkers 50
WSGIDaemonProcess site python-home=@PYTHON@ user=daemon processes=2 threads=3
WSGIScriptAlias / @APPS@/hello.wsgi process-group=site application-group=%{GLOBAL}
"""

FOREIGN = "open({mark!r}, 'w').close()\ndef application(environ, start_response):\n    start_response('200 OK', [])\n    return []\n"


class Canary(threading.Thread):
    """Asks without a pause; an answer that is wrong, missing or late is noted."""

    def __init__(self, server: Httpd):
        super().__init__()
        self.server, self.stopped, self.problems, self.answers = server, threading.Event(), [], 0

    def run(self) -> None:
        while not self.stopped.wait(0.01):
            begun = time.monotonic()
            try:
                answer = raw_http.get(self.server.ports["PORT"], "/")
                right = answer.status == 200 and answer.body == b"Hello, world!"
            except OSError as error:
                answer, right = error, False
            if not right or time.monotonic() - begun > 10:
                self.problems.append(f"{answer} after {time.monotonic() - begun:.2f} s")
            self.answers += 1


def attack(server: Httpd, script: Path, chance: random.Random) -> list[subprocess.Popen]:
    place = chance.choice(server.socket_places())
    return [
        subprocess.Popen(
            [sys.executable, impostor.__file__, str(place), daemon_account(), chance.choice(impostor.KINDS),
             str(chance.randrange(1 << 30))],
            env={**os.environ, "SCRIPT": str(script)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        for _ in range(chance.randrange(1, 5))
    ]


def said(attacker: subprocess.Popen) -> str | None:
    """What is wrong with how it was treated."""
    output, errors = attacker.communicate(timeout=60)
    refused = attacker.returncode != 0 and any(name in errors for name in ("ConnectionRefused", "FileNotFound", "BlockingIOError"))
    if refused or (attacker.returncode == 0 and output == "0\n"):
        return None
    return f"an impostor got {output!r} {errors[-300:]}"


def silent(server: Httpd, chance: random.Random, held: contextlib.ExitStack) -> None:
    """Connections of root, who may connect, and who does not know the secret either."""
    for _ in range(chance.randrange(200)):
        connection = held.enter_context(socket.socket(socket.AF_UNIX))
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            connection.connect(str(chance.choice(server.socket_places())))


def main(seconds: float, seed: int) -> list[str]:
    print(f"HOSTILE_SEED={seed}", flush=True)
    chance, server, problems, rounds = random.Random(seed), Httpd(SITE), [], 0
    mark, script = server.writable_folder("mark") / "executed", server.root / "foreign.wsgi"
    script.write_text(FOREIGN.format(mark=str(mark)))
    server.start()
    try:
        canary = Canary(server)
        canary.start()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.ExitStack() as held:
                silent(server, chance, held)
                attackers = attack(server, script, chance)
                if chance.random() < 0.05:
                    server.graceful()
                problems += filter(None, map(said, attackers))
            rounds += 1
        canary.stopped.set()
        canary.join()
        problems += canary.problems
        if mark.exists():
            problems.append("a script ran that no configuration names")
        problems += [f"{daemon} holds {len(daemon.descriptors)}" for daemon in server.daemons() if len(daemon.descriptors) > 200]
        print(f"{rounds} rounds, {canary.answers} answers to the canary")
    finally:
        server.close()
    return problems


if __name__ == "__main__":
    found = main(float(os.environ.get("HOSTILE_SECONDS", "60")), int(os.environ.get("HOSTILE_SEED", random.randrange(1 << 30))))
    print("\n".join(found[:20]))
    sys.exit(bool(found))
