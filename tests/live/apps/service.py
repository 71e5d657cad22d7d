"""A service script: notes in $JOURNAL what becomes of it, and runs until it is told to end; $DO asks for more."""

import atexit
import os
import signal
import sys
import threading
import time

import mod_wsgi


def note(word):
    with open(os.environ["JOURNAL"], "a") as journal:
        journal.write(f"{word} {os.getpid()}\n")


def handler(number, frame):
    note(signal.Signals(number).name)


todo = os.environ.get("DO", "")
atexit.register(note, "exit-function")
note("begins")
if todo == "return":
    sys.exit()
if todo == "raise":
    raise LookupError("this service does not work")
if mod_wsgi.application_group == "":
    signal.signal(signal.SIGUSR1, handler)
if todo == "stay":
    signal.signal(signal.SIGTERM, handler)
place = (mod_wsgi.process_group, mod_wsgi.application_group, mod_wsgi.threads_per_process)
if threading.current_thread() is threading.main_thread() and threading.get_native_id() == os.getpid():
    note(f"main-thread-of-{place}".replace(" ", ""))
try:
    while True:
        time.sleep(0.05 if mod_wsgi.application_group else 100)
except SystemExit:
    note("told")
    if todo == "linger":
        os.kill(os.getpid(), signal.SIGTERM)  # a second one does not disturb
        time.sleep(0.5)
    raise
finally:
    note("ends")
