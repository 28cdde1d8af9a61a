"""A real SLURM cluster of virtual nodes on this machine: own munge, own ports, no root, no cgroups, no systemd.

Everything lies in one folder; the system's configuration is neither read nor changed. Jobs are real processes.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scontrol", "scancel", "sinfo")
CPUS = 2  # of a node, whatever the machine has
KILL_WAIT = 3  # from SIGTERM to SIGKILL, seconds

CONFIG = """\
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={home}/munge.socket,cred_expire=8
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
StateSaveLocation={home}/state
SlurmdSpoolDir={home}/spool.%n
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd.%n.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
MailProg=/bin/true
SwitchType=switch/none
SlurmdParameters=config_overrides
SlurmctldParameters=preempt_send_user_signal
ReturnToService=1
SlurmdTimeout=20
KillWait={kill_wait}
InactiveLimit=0
MessageTimeout=10
TCPTimeout=2
JobRequeue=1
MaxArraySize=101
MinJobAge=3600
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=1,batch_sched_delay=0
PriorityType=priority/basic
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
NodeName=n[1-{nodes}] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{first}-{last}] CPUs={cpus} RealMemory=4000
PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=20 DefaultTime=5 State=UP
PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF DefaultTime=5 State=UP
"""


def missing() -> list[str]:
    """Programs of SLURM that are not installed."""
    return [name for name in PROGRAMS if shutil.which(name) is None]


def eventually(what: Callable[[], object], seconds: float, message: Callable[[], str] = lambda: "") -> None:
    """Waits until something holds. Raises: AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {message()}"
        time.sleep(0.1)


@dataclass
class Cluster:
    """Started with `up`, ended with `down`; `environment` is what its clients need."""

    home: Path
    nodes: int = 2
    port: int = field(default_factory=lambda: free_ports(8))

    @property
    def environment(self) -> dict[str, str]:
        """The environment of a user of this cluster."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM_", "SUBMITIT_"))}
        return {**kept, "SLURM_CONF": str(self.home / "slurm.conf")}

    def up(self) -> None:
        """Starts all daemons and waits until the nodes are idle."""
        self.home.mkdir(parents=True)
        for name in ("state", *(f"spool.{node}" for node in self.names)):
            (self.home / name).mkdir()
        user = subprocess.check_output(["id", "-un"], text=True).strip()
        content = CONFIG.format(
            host=socket.gethostname().split(".")[0], port=self.port, user=user, home=self.home, nodes=self.nodes,
            first=self.port + 1, last=self.port + self.nodes, cpus=CPUS, kill_wait=KILL_WAIT,
        )  # fmt: skip
        (self.home / "slurm.conf").write_text(content, encoding="utf-8")
        key = self.home / "munge.key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        self.home.chmod(0o755)
        self._start(
            "munged", f"--key-file={key}", f"--socket={self.home}/munge.socket", f"--pid-file={self.home}/munged.pid",
            f"--log-file={self.home}/munged.log", f"--seed-file={self.home}/munged.seed", "--num-threads=2", "--force",
        )  # fmt: skip
        self.start_controller()
        for node in self.names:
            self.start_node(node)
        eventually(lambda: self.node_states().count("idle") == self.nodes, 30, lambda: str(self.node_states()))

    @property
    def names(self) -> list[str]:
        """The nodes."""
        return [f"n{number + 1}" for number in range(self.nodes)]

    def _start(self, *command: str) -> None:
        subprocess.run(command, env=self.environment, check=True, capture_output=True, timeout=30)

    def start_controller(self) -> None:
        """Starts slurmctld and waits until it answers."""
        self._start("slurmctld")
        eventually(lambda: "UP" in self.run("scontrol", "ping", check=False), 30)

    def start_node(self, node: str) -> None:
        """Starts the daemon of one node."""
        self._start("slurmd", "-N", node)

    def run(self, *command: str, check: bool = True) -> str:
        """A client command's output."""
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )  # fmt: skip
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def node_states(self) -> list[str]:
        """State of each node, in one partition."""
        return self.run("sinfo", "-h", "-p", "low", "-N", "-o", "%T", check=False).split()

    def queue(self, *options: str) -> list[str]:
        """Lines 'id state' of all jobs that there are."""
        return self.run("squeue", "-h", "-r", "-o", "%i %T", *options).splitlines()

    def stop(self, daemon: str, number: signal.Signals = signal.SIGTERM) -> None:
        """Ends 'slurmctld', 'slurmd.n1' or 'munged' and waits until it is gone."""
        path = self.home / f"{daemon}.pid"
        if not path.exists() or not path.read_text().strip():
            return
        pid = int(path.read_text())
        if not _is(pid, daemon.split(".")[0]):
            return
        os.kill(pid, number)
        eventually(lambda: not _is(pid, daemon.split(".")[0]), 20)

    def processes_of_jobs(self, daemons: bool = True) -> list[int]:
        """Processes of this cluster's jobs and, if wanted, the daemons of their steps."""
        found = []
        mark = f"SLURM_CONF={self.home}/slurm.conf".encode()
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
                name = (entry / "comm").read_text().strip()
            except OSError:
                continue
            in_job = any(item.startswith(b"SLURM_JOB_ID=") for item in environment)
            in_job = daemons if name == "slurmstepd" else in_job
            if mark in environment and in_job and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        return found

    def clear(self) -> None:
        """Cancels all jobs and waits until they are gone."""
        self.run("scancel", "--user", str(os.getuid()), check=False)
        eventually(lambda: not self.queue(), 30, lambda: str(self.queue()))

    def down(self) -> None:
        """Ends everything."""
        if self.run("scontrol", "ping", check=False).count("UP"):
            self.run("scancel", "--user", str(os.getuid()), "--signal=KILL", "--full", check=False)
        for daemon in [*(f"slurmd.{node}" for node in self.names), "slurmctld", "munged"]:
            self.stop(daemon)
        for pid in self.processes_of_jobs():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue


def _is(pid: int, name: str) -> bool:
    """Returns whether a live process (no zombie) has this name."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    return f"Name:\t{name}" in status and "State:\tZ" not in status


def free_ports(number: int) -> int:
    """Returns the first of so many consecutive free ports."""
    for first in range(20000 + os.getpid() % 5000, 60000, number):
        if all(_is_free(port) for port in range(first, first + number)):
            return first
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
