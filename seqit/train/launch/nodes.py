"""Which ranks run on which nodes, and the commands that start them there."""

import shlex
import sys
from pathlib import Path

from seqit.errors import UsageError
from seqit.train.recipe import RUN_FILE, Launch, TrainRecipe

MODULE = "seqit.train.launch.worker"
PORT = 29500
"""Where ranks of several nodes meet, unless the rendezvous says otherwise: torchrun's own."""


def ranks_of(launch: Launch) -> int:
    """Return how many ranks this node runs: as said, or one for each GPU, or one on the CPU."""
    if launch.ranks:
        return launch.ranks
    import torch

    return max(int(torch.cuda.device_count()), 1)


def commands(recipe: TrainRecipe) -> list[str]:
    """Return the shell commands that start the ranks of all nodes; `#` lines say where.

    Hosts come from the hostfile (``NAME slots=N``, as DeepSpeed's), else from Slurm, or each node
    runs the same line.
    """
    run, launch = Path(recipe.out).absolute() / RUN_FILE, recipe.launch
    if launch.hostfile:
        hosts = read_hostfile(launch.hostfile)
        meet = launch.rendezvous or f"{next(iter(hosts))}:{PORT}"
        here = shlex.quote(str(Path.cwd()))
        lines = {h: _torchrun(len(hosts), n, meet, launch, run) for h, n in hosts.items()}
        return [f"ssh {h} {shlex.quote(f'cd {here} && {line}')}" for h, line in lines.items()]
    each = ranks_of(launch)
    if launch.nodes == 1:
        return [_torchrun(1, each, None, launch, run)]
    meet = launch.rendezvous or f"FIRST_NODE:{PORT}"
    first = f'"$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)":{PORT}'
    return [
        f"# on each of the {launch.nodes} nodes:",
        _torchrun(launch.nodes, each, meet, launch, run),
        "# or in a Slurm job:",
        f"srun --nodes={launch.nodes} --ntasks-per-node=1 --gpus-per-node={each} "
        + _torchrun(launch.nodes, each, first, launch, run),
    ]


def _torchrun(nodes: int, ranks: int, meet: str | None, launch: Launch, run: Path) -> str:
    python = shlex.quote(sys.executable)
    words = [python, "-m", "torch.distributed.run"]
    words += [f"--nnodes={nodes}", f"--nproc-per-node={ranks}"]
    if meet:
        name = shlex.quote(run.parent.name)
        words += ["--rdzv-backend=c10d", f"--rdzv-endpoint={meet}", f"--rdzv-id={name}"]
    else:
        words.append("--standalone")
    words += [f"--max-restarts={launch.restarts}", "-m", MODULE, shlex.quote(str(run))]
    return " ".join(words)


def read_hostfile(name: str) -> dict[str, int]:
    """Return hosts and how many ranks each runs, of lines ``NAME slots=N``; raises UsageError."""
    try:
        lines = Path(name).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageError(f"{name}: {error.strerror}") from None
    hosts: dict[str, int] = {}
    for number, line in enumerate(lines, 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        key, _, slots = words[1].partition("=") if len(words) == 2 else ("", "", "")
        if key != "slots" or not slots.isdecimal() or words[0] in hosts:
            raise UsageError(f'{name}, line {number}: expected "HOST slots=N", each host once')
        hosts[words[0]] = int(slots)
    if not hosts:
        raise UsageError(f"{name} names no host")
    return hosts
