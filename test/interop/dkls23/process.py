"""Carriage to `npm run engine:peer`: frames with a u32 little-endian length on stdin and stdout."""
import json
import os
import select
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ANSWER_TIMEOUT_S = 30


class Ended(Exception):
    """The process closed its stdout."""


class PeerProcess:
    """A running engine:peer; a context manager that ends it by closing its stdin."""

    def __init__(self, role, seed, id_c, id_s, operations=()):
        self._errors = tempfile.TemporaryFile()
        arguments = [role, str(seed), id_c.hex(), id_s.hex(), *operations]
        command = ["npm", "run", "--silent", "engine:peer", "--", *arguments]
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=self._errors)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self):
        """Closes stdin, waits; the exit code."""
        if self._child.stdin and not self._child.stdin.closed:
            try:
                self._child.stdin.close()
            except BrokenPipeError:
                pass
        try:
            return self._child.wait(ANSWER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._child.kill()
            raise

    def lines(self):
        """The JSON lines on its stderr."""
        self._errors.seek(0)
        text = self._errors.read().decode()
        return [json.loads(line) for line in text.splitlines() if line.startswith("{")]

    def write(self, frame):
        self._child.stdin.write(len(frame).to_bytes(4, "little") + frame)
        self._child.stdin.flush()

    def read(self):
        return self._exactly(int.from_bytes(self._exactly(4), "little"))

    def carry(self, frame):
        self.write(frame)
        return self.read()

    def _exactly(self, length):
        parts, descriptor = [], self._child.stdout.fileno()
        while length > 0:
            if not select.select([descriptor], [], [], ANSWER_TIMEOUT_S)[0]:
                raise TimeoutError("no answer from engine:peer")
            part = os.read(descriptor, length)
            if not part:
                raise Ended("engine:peer ended")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)
