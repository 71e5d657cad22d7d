"""Follows docker/Dockerfile where there is no docker: `python3 tests/fresh/dockerfile.py`, as root.

Every stage is a fresh Debian 12 in a folder; RUN and COPY are carried out there. Then CMD is started, HEALTHCHECK must
answer, and STOPSIGNAL must end it. It knows the instructions that this Dockerfile uses and refuses any other. CMD
listens on port 80 of this machine while it runs. KEEP=1 leaves the folder.
"""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys

from root import NOT_COPIED, PROJECT, fresh_debian, scratch_folder


class Stage:
    def __init__(self, root):
        self.root = root
        self.workdir = "/"
        self.command = self.check = None
        self.stop_signal = signal.SIGTERM


def instructions(text):
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        word, _, rest = line.partition(" ")
        yield word, rest.strip()


def follow(text, folder):
    stages = {}
    stage = None
    for word, rest in instructions(text):
        print(f"\n=== {word} {rest}", flush=True)
        if word == "FROM":
            image, *name = rest.split(" AS ")
            if image != "debian:bookworm-slim":
                raise SystemExit(f"not known here: {image}")
            name = name[0] if name else "last"
            stage = stages[name] = Stage(fresh_debian(folder / name))
        elif word == "RUN":
            stage.root.run("sh", "-c", rest, cwd=stage.workdir)
        elif word == "WORKDIR":
            stage.workdir = rest
            (stage.root.folder / rest.lstrip("/")).mkdir(parents=True, exist_ok=True)
        elif word == "COPY":
            copy(rest.split(), stage, stages)
        elif word == "HEALTHCHECK":
            stage.check = rest.partition("CMD ")[2]
        elif word == "STOPSIGNAL":
            stage.stop_signal = signal.Signals[rest]
        elif word == "CMD":
            stage.command = json.loads(rest)
        elif word != "EXPOSE":
            raise SystemExit(f"not known here: {word}")
    return stage


def copy(words, stage, stages):
    source_root = PROJECT
    if words[0].startswith("--from="):
        source_root = stages[words.pop(0).partition("=")[2]].root.folder
    *sources, target = words
    for source in sources:
        path = source_root / source.strip("/")
        to = stage.root.folder / os.path.join(stage.workdir, target).lstrip("/")
        if path.is_dir():
            # What a package brings is laid over what is there: folders are made, files are placed.
            shutil.copytree(path, to, ignore=NOT_COPIED, symlinks=True, dirs_exist_ok=True)
        else:
            if target.endswith("/"):
                to /= path.name
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)


def start_check_and_stop(stage):
    print(f"\n=== CMD {shlex.join(stage.command)}", flush=True)
    # All in one shell, so in one process name space: it starts CMD, waits for HEALTHCHECK and sends STOPSIGNAL.
    script = f"""
{shlex.join(stage.command)} & main=$!
for try in $(seq 30); do
    sleep 1
    if answer=$({stage.check}); then break; fi
done
echo "$answer"
[ -n "$answer" ] || exit 1
for folder in /proc/[0-9]*; do
    [ -r $folder/cmdline ] && echo "$(stat -c %U $folder) $(tr '\\0' ' ' <$folder/cmdline)"
done
echo "$answer" | grep -q '^user  *site$'
kill -{int(stage.stop_signal)} $main
wait $main
"""
    line = stage.root.line("sh", "-euc", script)
    return subprocess.run(line, stdin=subprocess.DEVNULL, timeout=180).returncode


def main():
    folder = scratch_folder()
    try:
        stage = follow((PROJECT / "docker/Dockerfile").read_text(), folder)
        status = start_check_and_stop(stage)
    finally:
        if os.environ.get("KEEP"):
            print(f"kept: {folder}")
        else:
            shutil.rmtree(folder)
    print("\nThe image's steps went well." if status == 0 else f"\nThe container ended with {status}.")
    sys.exit(status)


if __name__ == "__main__":
    main()
