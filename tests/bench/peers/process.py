"""The peer's process: starting and ending it, and what it uses.

Enters: a command or a process number. Leaves: seconds of processor time and memory, read from
/proc, so this is for Linux.
"""
import collections
import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

# The share of one core above which a server is at work; one that waits needs about a hundredth.
BUSY = 0.1
# A model is loaded within this even on a busy machine, or something is broken.
START_S = 180


def tree(pid):
    """A process and all that descend from it."""
    children = collections.defaultdict(list)
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                # The name in brackets may hold spaces; the parent is the second field after it.
                after = (entry / "stat").read_text().rpartition(")")[2].split()
                children[int(after[1])].append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        found.append(todo.pop())
        todo += children[found[-1]]
    return found


def cpu_s(pid):
    """Processor time of a process, of its children, and of the ended ones that it has waited for."""
    ticks = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            after = pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, after[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def machine_s():
    """Processor time that everything on this machine has used since it started."""
    # user, nice, system, idle, iowait, irq, softirq; see proc(5).
    ticks = list(map(int, pathlib.Path("/proc/stat").read_text().split("\n")[0].split()[1:8]))
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


class Watch:
    """Whether a server is at work, for who asks often."""

    def __init__(self, pid):
        self.pid, self.work = pid, cpu_s(pid)
        self.asked = self.idle_since = time.monotonic()

    def idle_s(self):
        work, now = cpu_s(self.pid), time.monotonic()
        if work - self.work > BUSY * (now - self.asked):
            self.idle_since = now
        self.work, self.asked = work, now
        return now - self.idle_since


class Bill:
    """What a process and all others use from now on."""

    def __init__(self, pid):
        self.pid = pid
        self.at, self.cpu, self.machine = time.monotonic(), cpu_s(pid), machine_s()
        self.own = sum(os.times()[:4])

    def fields(self):
        cpu = cpu_s(self.pid) - self.cpu
        own = 0.0 if self.pid == os.getpid() else sum(os.times()[:4]) - self.own
        others = max(0.0, machine_s() - self.machine - cpu - own)
        # Beyond a few per cent of the cores, another program has slowed this one down.
        wall = (time.monotonic() - self.at) * (os.cpu_count() or 1)
        return {"cpu_s": round(cpu, 2), "peak_rss_mb": round(peak_rss_mb(self.pid), 1),
                "others_cpu_percent": round(100 * others / wall, 1)}


def peak_rss_mb(pid):
    """The sum of what each process of the tree has held at most, in 10^6 bytes."""
    total = 0
    for process in tree(pid):
        with contextlib.suppress(OSError):
            for line in pathlib.Path(f"/proc/{process}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    total += int(line.split()[1]) * 1024
    return total / 1e6


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def offline_environment(home):
    """No hub is asked, and what a peer wants to keep goes away with the folder."""
    return dict(os.environ, HOME=home, HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1")


@contextlib.contextmanager
def server(command, port):
    """The peer's server until the block ends; its process number. Its log is shown if it fails."""
    with tempfile.TemporaryDirectory(prefix="peer") as home:
        log = pathlib.Path(home) / "log"
        with open(log, "wb") as stream:
            # A folder of its own: from ours, `import whisperlivekit` would find our adapter.
            process = subprocess.Popen(command, cwd=home, env=offline_environment(home),
                                       stdin=subprocess.DEVNULL, stdout=stream,
                                       stderr=subprocess.STDOUT, start_new_session=True)
        try:
            wait_for(process, port)
            yield process.pid
        except BaseException:
            print(log.read_text(errors="replace")[-4000:], file=sys.stderr)
            raise
        finally:
            # Its children are in its group, which start_new_session made.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def wait_for(process, port):
    give_up = time.monotonic() + START_S
    while time.monotonic() < give_up:
        if process.poll() is not None:
            raise RuntimeError(f"the server ended with {process.returncode} before it listened")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise RuntimeError(f"the server does not listen after {START_S} s")
