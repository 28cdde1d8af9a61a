"""Checks before a submission: this machine, the folder, and whether SLURM could ever start the jobs."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UserError
from harness.launch.slurm import client
from harness.text.clean import one_line

#: fields of submitit's parameters by which SLURM decides where and when a job may run
DECISIVE = (
    "partition", "account", "qos", "constraint", "mem", "time", "nodes", "ntasks_per_node", "cpus_per_task",
    "gpus_per_node", "exclusive", "exclude",
)  # fmt: skip
#: refusals that waiting does not end
PERMANENT = re.compile(
    r"node configuration is not available|partition configuration not available|topology configuration"
    r"|invalid (?:partition|account|qos|feature|generic resource|gres|node name|node count|wckey|license|time limit"
    r"|constraint|reservation|job|number|--)|time limit is invalid|specification invalid|can ?not be satisfied"
    r"|no partition specified|not in this partition|not permitted|permission denied|more processors requested"
    r"|violates accounting|reservation is invalid|access denied|is not available with|unsupported|exceeds?\b",
    re.IGNORECASE,
)
#: permanent ones whose words SLURM also uses while nodes are down, drained or reserved
OF_NODES = re.compile(r"(?:node|partition|topology) configuration", re.IGNORECASE)
#: of a QOS or an association: 'QOSMaxSubmitJobPerUserLimit', 'AssocGrpSubmitJobsLimit'; it ends when some jobs end
SUBMIT_LIMIT = re.compile(r"\b(?:QOS|Assoc)\w*Submit\w*Limit\b|\bMaxSubmit\w*")
#: SLURM's text for every limit is the same, and only the name of the limit says whether waiting ends it
ANY_LIMIT, NAMED_LIMIT = "violates accounting", re.compile(r"\b(?:QOS|Assoc)[A-Z]\w+")
UNUSABLE = ("down", "drain", "fail", "maint", "power", "reserved", "unk")
#: name, partition, state, CPUs, MiB of memory
NODE = re.compile(r"([^|]+)\|([^|]*)\|([^|]*)\|(\d{1,9})\+?\|(\d{1,9})\+?", re.ASCII)
IN_MIB = {"M": 1, "G": 1024, "T": 1024**2}


def check_commands() -> None:
    """Raises: UserError on a machine from which nothing can be submitted."""
    if shutil.which("sbatch") is None or shutil.which("srun") is None:
        raise UserError(
            "no sbatch and srun here: this machine is not part of a SLURM cluster. Use --launch local, or log in."
        )


def check_folder(run: Path) -> None:
    """Raises: UserError for a folder whose name sbatch and the shell cannot carry."""
    path = str(run.resolve())
    bad = sorted({character for character in path if character in "\n\r\t\"'\\%" or not character.isprintable()})
    if bad:
        shown = ", ".join(repr(character) for character in bad)
        raise UserError(
            f"{path!r}: SLURM cannot write to a folder with {shown} in its name. Choose another with --runs."
        )


@dataclass(frozen=True)
class Verdict:
    """What SLURM says of jobs in its own words: `refusal`: it never starts them; `doubt`: not now, or it did not say.

    Both are empty where it would start them.
    """

    refusal: str = ""
    doubt: str = ""


def options_of(parameters: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the options of sbatch for submitit's parameters of a job."""
    given = {"nodes": 1} | {name: parameters[name] for name in DECISIVE if parameters.get(name) is not None}
    return tuple(
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}") for name, value in given.items()
    )


def verdict_on(options: Sequence[str]) -> Verdict:
    """Asks SLURM about jobs with these options; submits nothing."""
    answer = client.ask("sbatch", "--test-only", *options, "--wrap=true")
    text = f"{answer.out}\n{answer.errors}"
    failed = re.search(r"^\s*(?:allocation failure|sbatch: error)", text, re.MULTILINE)
    if not answer.problem and not failed:
        return Verdict()
    words = _words(text) or answer.problem
    unnamed = ANY_LIMIT in words and not NAMED_LIMIT.search(words)
    if not PERMANENT.search(words) or SUBMIT_LIMIT.search(words) or unnamed:
        return Verdict(doubt=words)
    if OF_NODES.search(words) and _fits_unusable_nodes(options):
        return Verdict(doubt=f"{words} while nodes are down, drained or reserved")
    return Verdict(refusal=words)


def _words(text: str) -> str:
    """Returns SLURM's words in one line, without the names of its programs."""
    lines = [re.sub(r"^(?:sbatch: |error: |allocation failure: )+", "", line.strip()) for line in text.splitlines()]
    return one_line("; ".join(dict.fromkeys(filter(None, lines))))


def _fits_unusable_nodes(options: Sequence[str]) -> bool:
    """Returns whether nodes that cannot be used now are among those that are large enough for a job."""
    asked = dict(option.removeprefix("--").partition("=")[::2] for option in options)
    partition = asked.get("partition") or os.environ.get("SBATCH_PARTITION")
    only = [f"--partition={partition}"] if partition else []
    answer = client.ask("sinfo", "--noheader", "--Node", "--format=%N|%P|%T|%c|%m", *only)
    rows = [match.groups() for line in answer.out.splitlines() if (match := NODE.fullmatch(line.strip()))]
    if not partition:
        rows = [row for row in rows if row[1].endswith("*")] or rows
    cpus = int(asked.get("cpus-per-task", 1)) * int(asked.get("ntasks-per-node", 1))
    memory = int(asked["mem"][:-1]) * IN_MIB[asked["mem"][-1]] if "mem" in asked else 0
    large = {name: state for name, _, state, has, mib in rows if int(has) >= cpus and int(mib) >= memory}
    return len(large) >= int(asked["nodes"]) and any(state.startswith(UNUSABLE) for state in large.values())


def check(jobs: Iterable[tuple[Mapping[str, Any], str]], tested: set[tuple[str, ...]]) -> list[str]:
    """Asks about each distinct set of resources once; returns lines about those that SLURM cannot start now.

    `jobs`: submitit's parameters, and the resources as text. `tested`: the sets that were asked about before.

    Raises: UserError for all those that SLURM would never start.
    """
    refused, doubts = [], []
    for parameters, summary in jobs:
        options = options_of(parameters)
        if options in tested:
            continue
        tested.add(options)
        verdict = verdict_on(options)
        refused += [f"{summary}: {verdict.refusal}"] if verdict.refusal else []
        doubts += [f"SLURM does not promise to start jobs with {summary}: {verdict.doubt}"] if verdict.doubt else []
    if refused:
        raise UserError(
            f"SLURM would never start these jobs ({'; '.join(refused)}). Nothing was submitted. Change the fields of "
            f"launch; `sinfo` shows what there is, `python -m harness doctor FILE` tries the file."
        )
    return doubts
