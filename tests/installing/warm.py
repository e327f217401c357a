"""Processes without the two seconds that the import of torch takes: a warm parent forks each of them.

What a test sees is a process as any other: its own arguments, folder, environment, streams, signals and exit code. Who
asks what is imported, closes a stream, or sets how Python itself starts, takes a fresh interpreter instead.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Timer
from typing import IO, Any

SERVER = '''
import atexit, json, os, runpy, signal, socket, sys, tempfile

job = code = None

def leave():
    """End as the last of what is done at exit: to take apart modules that other processes share costs a second."""
    if code is not None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

atexit.register(leave)  # the first one registered is the last one called
import torch, torch._dynamo, torchvision, tensorboard, torchinfo, rich.console, hydra.main
import trainkit.commands.train, trainkit.loggers.tensorboard

channel = socket.socket(fileno=int(sys.argv[1]))
given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
first = 1 + sum(map(bool, given))  # of sys.path, behind the current folder and these
threads = "/proc/self/task"
assert not os.path.isdir(threads) or len(os.listdir(threads)) == 1, "a child would lack the other threads"
while job is None:
    message, streams, *_ = socket.recv_fds(channel, 65536, 3)
    if not message:
        sys.exit()
    while not message.endswith(b"\\n"):
        message += channel.recv(65536)
    request = json.loads(message)
    if "wait" in request:
        answer = os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1])
    else:
        answer = os.fork()
        if not answer:
            job = request
            break
        os.setpgid(answer, answer)  # here and there: whoever comes first
        for stream in streams:
            os.close(stream)
    channel.sendall(json.dumps(answer).encode() + b"\\n")

channel.close()
os.setpgid(0, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)  # which whoever started the tests may have let be ignored,
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # by nohup or &
for number, stream in enumerate(streams):
    os.dup2(stream, number)
    os.close(stream)
os.chdir(job["cwd"])
os.environ.clear()
os.environ.update(job["env"])
tempfile.tempdir = None  # of this environment, not of that in which it was looked up before
if os.environ.get("PYTHONUNBUFFERED"):
    sys.stdout.reconfigure(write_through=True)
    sys.stderr.reconfigure(write_through=True)
script, arguments = job["script"], job["arguments"]
own = job["cwd"] if script is None else os.path.dirname(script)
sys.path[:first] = [own, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
sys.argv = [script or "trainkit", *arguments]
try:
    if script is None:
        runpy.run_module("trainkit", run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(script, run_name="__main__")
except SystemExit as left:
    code = left.code if isinstance(left.code, int) else None
    raise
'''


class Process:
    """A process that was started; its streams are those that it was given."""

    def __init__(self, parent: Warm, pid: int) -> None:
        self.parent, self.pid = parent, pid
        self.returncode: int | None = None

    def kill(self) -> None:
        """Kill it with all that it started."""
        os.killpg(self.pid, signal.SIGKILL)

    def ended(self) -> bool:
        """Tell whether it only waits to be waited for, where the system says so."""
        try:
            return Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
        except FileNotFoundError:
            return os.path.isdir("/proc")

    def wait(self, seconds: float = 100) -> int:
        """Wait for the end; what takes longer is killed with all that it started."""
        if self.returncode is None:
            timer = Timer(seconds, self.kill)
            timer.start()
            self.returncode = self.parent.ask({"wait": self.pid})
            late = timer.finished.is_set()
            timer.cancel()
            timer.join()
            if late:
                raise subprocess.TimeoutExpired(f"process {self.pid}", seconds)
        return self.returncode


class Warm:
    """A Python that has imported all that a training needs, has computed nothing, and forks."""

    def __init__(self, *python: str | Path, env: Mapping[str, str] | None = None) -> None:
        self.channel, theirs = socket.socketpair()
        number, null = theirs.fileno(), subprocess.DEVNULL
        self.server = subprocess.Popen(
            [*(python or [sys.executable]), "-c", SERVER, str(number)],
            cwd="/",
            env={**(os.environ if env is None else env), "OMP_NUM_THREADS": "1"},
            stdin=null,
            stdout=null,
            pass_fds=[number],
            start_new_session=True,
        )
        theirs.close()

    def ask(self, request: dict[str, Any], *streams: int) -> int:
        """Send the server a request and the streams of a process; return what it answers."""
        socket.send_fds(self.channel, [json.dumps(request).encode() + b"\n"], streams)
        answer = b""
        while not answer.endswith(b"\n"):
            more = self.channel.recv(64)
            assert more, f"the warm parent ended with {self.server.wait()}"
            answer += more
        return int(answer)

    def start(
        self,
        *arguments: str | Path,
        cwd: Path,
        stdout: IO,
        stderr: IO,
        env: Mapping[str, str] | None = None,
        script: Path | None = None,
    ) -> Process:
        """Start ``python -m trainkit`` with arguments, or the console script that is named, in a group of its own."""
        request = {
            "arguments": list(map(str, arguments)),
            "cwd": str(cwd),
            "env": dict(os.environ if env is None else env),
            "script": script and str(script),
        }
        with open(os.devnull) as stdin:
            return Process(self, self.ask(request, stdin.fileno(), stdout.fileno(), stderr.fileno()))

    def run(
        self, *arguments: str | Path, cwd: Path, env: Mapping[str, str] | None = None, script: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end, as ``subprocess.run`` does that captures the output as text."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            code = self.start(*arguments, cwd=cwd, stdout=out, stderr=err, env=env, script=script).wait()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(arguments, code, out.read(), err.read())

    def close(self) -> None:
        """End the server."""
        self.channel.close()
        self.server.wait(10)
