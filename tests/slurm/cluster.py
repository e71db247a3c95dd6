"""A Slurm cluster of one node, on this machine, in a temporary folder: munged, slurmctld and slurmd, and nothing else.

No service is installed or changed, no system file written, and the ports are free ones. To try things out:

    python tests/slurm/cluster.py COMMAND ...       runs it with a cluster at hand, which is gone afterwards
"""

from __future__ import annotations

import ctypes
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "srun")
PACKAGES = ("slurm-wlm", "munge")
GUARD = "--guard"
CPUS = 4  # that Slurm hands out, whatever the machine has

CONF = """
ClusterName=robustprompt
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
AuthType=auth/munge
CredType=cred/munge
# a requeued job waits until its old credential is out of date: two minutes, if nothing is said; 5 s is the least
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldDebug=info
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=20
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=100000 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 GraceTime=20
PartitionName=high Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


class CannotStart(Exception):
    """The text says why, in one sentence."""


def why_not() -> str:
    """Why there can be no cluster here; "" if it is worth a try."""
    if sys.platform != "linux":
        return f"Slurm runs on Linux, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "slurmd starts jobs for others, so it has to be started by root"
    if missing := [name for name in PROGRAMS if not shutil.which(name)]:
        return f"{missing[0]} is not installed (apt-get install {' '.join(PACKAGES)}, or SLURM_TEST_INSTALL=1)"
    return ""


def install() -> None:
    """Debian's packages. Raises CannotStart with apt's last words."""
    options = {"capture_output": True, "text": True, "env": {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}}
    for command in (["apt-get", "update"], ["apt-get", "install", "-y", "--no-install-recommends", *PACKAGES]):
        done = subprocess.run(command, **options)
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no word"])[-1]
            raise CannotStart(f"{' '.join(command)} failed: {last}")


class Cluster:
    """A context manager. `env`: what a process needs in its environment to speak with this cluster."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self.conf = self.folder / "slurm.conf"
        self.env = {**os.environ, "SLURM_CONF": str(self.conf)}
        self.daemons: list[subprocess.Popen] = []
        # It waits for the end of its input, which comes when this process ends, in whatever way.
        self.guard = subprocess.Popen(
            [sys.executable, __file__, GUARD, str(self.folder)], stdin=subprocess.PIPE, start_new_session=True
        )

    def __enter__(self) -> Cluster:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_) -> None:
        self.stop()

    def run(self, *command: str) -> str:
        """The output of one of Slurm's commands."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=300)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def jobs(self) -> dict[str, str]:
        """{job or task of an array: state}, of those that are not over."""
        lines = self.run("squeue", "--noheader", "--array", "--format=%i %T").splitlines()
        return dict(line.split() for line in lines)

    def _start(self) -> None:
        for name in ("state", "spool"):
            (self.folder / name).mkdir()
        host = socket.gethostname().partition(".")[0]
        self.conf.write_text(CONF.format(host=host, ports=_free_ports(2), folder=self.folder, cpus=CPUS).lstrip())
        key = self.folder / "munge.key"
        key.write_bytes(secrets.token_bytes(128))
        key.chmod(0o400)
        files = {"socket": "munge.socket", "pid-file": "munge.pid", "seed-file": "munge.seed", "log-file": "munge.log"}
        self._daemon(
            "munged", "--foreground", "--force", "--num-threads=2", f"--key-file={key}",
            *(f"--{option}={self.folder / name}" for option, name in files.items()),
        )  # fmt: skip
        self._wait("munged", (self.folder / "munge.socket").exists)
        self._daemon("slurmctld", "-D", "-c", "-f", str(self.conf))
        self._daemon("slurmd", "-D", "-f", str(self.conf))
        self._wait("slurmctld and slurmd", lambda: "idle" in self.run("sinfo", "--noheader", "--format=%T"))

    def _daemon(self, *command: str) -> None:
        with open(self.folder / f"{command[0]}.out", "wb") as out:
            self.daemons.append(
                subprocess.Popen(
                    command, env=self.env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, preexec_fn=_end_with_parent
                )
            )

    def _wait(self, what: str, condition, seconds: float = 40) -> None:
        end = time.monotonic() + seconds
        while True:
            with suppress(RuntimeError):
                if condition():
                    return
            dead = [process for process in self.daemons if process.poll() is not None]
            if dead or time.monotonic() > end:
                name = Path(dead[0].args[0]).name if dead else ""
                why = f"{name} ended: {self._last_line(name)}" if dead else f"{what} did not answer in {seconds:.0f} s"
                raise CannotStart(why)
            time.sleep(0.1)

    def _last_line(self, name: str) -> str:
        logs = [self.folder / f"{name}.out", self.folder / f"{name}.log"]
        lines = [line for log in logs if log.is_file() for line in log.read_text(errors="replace").splitlines()]
        return next((line for line in reversed(lines) if "error" in line or "fatal" in line), "no word in its log")

    def stop(self) -> None:
        """Ends all jobs, then the daemons; the guard takes away whatever is left of both, and the folder."""
        with suppress(RuntimeError, subprocess.TimeoutExpired, OSError):
            if self.daemons and (left := list(self.jobs())):
                self.run("scancel", "--full", "--signal=KILL", *left)
                self.run("scancel", *left)
        for process in reversed(self.daemons):
            process.terminate()
        for process in reversed(self.daemons):
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.guard.stdin.close()
        self.guard.wait()


def processes(folder: Path) -> list[int]:
    """Ids of all that were started with the configuration of the cluster in `folder`: daemons, jobs, their commands."""
    mark = f"SLURM_CONF={folder}/slurm.conf".encode()
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (each / "environ").read_bytes().split(b"\0"):
                found.append(int(each.name))
    return found


def guard(folder: Path) -> None:
    """Waits for the end of the process that started the cluster, or for its word, and takes away what it left."""
    sys.stdin.read()
    for _ in range(10):  # some start others while they die
        left = processes(folder)
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not left:
            break
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _end_with_parent() -> None:
    """In a daemon before it starts: the end of the tests is its own (prctl's PR_SET_PDEATHSIG)."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def main() -> int:
    if sys.argv[1:2] == [GUARD]:
        guard(Path(sys.argv[2]))
        return 0
    if reason := why_not():
        print(f"error: {reason}", file=sys.stderr)  # noqa: T201
        return 2
    try:
        with Cluster() as cluster:
            return subprocess.run(sys.argv[1:] or [os.environ.get("SHELL", "sh")], env=cluster.env).returncode
    except CannotStart as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return 2


if __name__ == "__main__":
    sys.exit(main())
