"""The ranks of each node, and the commands that start them."""

import shlex
import sys
from pathlib import Path

from seqit.errors import UsageError
from seqit.train.recipe import RUN_FILE, Launch, TrainRecipe

WORKER_MODULE = "seqit.train.launch.worker"
DEFAULT_PORT = 29500
"""The port of the rendezvous of several nodes, if none is given; torchrun's default."""


def local_world_size(launch: Launch) -> int:
    """Return the number of ranks of this node: as given, or one per GPU, or one on the CPU."""
    if launch.ranks:
        return launch.ranks
    import torch

    return max(int(torch.cuda.device_count()), 1)


def launch_commands(recipe: TrainRecipe) -> list[str]:
    """Return the shell commands that start the ranks of all nodes, with `#` comments.

    Hosts come from the hostfile (``NAME slots=N``, DeepSpeed's format). Without one, the commands
    for any cluster and for Slurm are returned.
    """
    run, launch = Path(recipe.output).absolute() / RUN_FILE, recipe.launch
    if launch.hostfile:
        hosts = read_hostfile(launch.hostfile)
        endpoint = launch.rendezvous or f"{next(iter(hosts))}:{DEFAULT_PORT}"
        folder = shlex.quote(str(Path.cwd()))
        lines = {
            host: _torchrun_command(len(hosts), ranks, endpoint, launch, run)
            for host, ranks in hosts.items()
        }
        return [f"ssh {h} {shlex.quote(f'cd {folder} && {line}')}" for h, line in lines.items()]
    ranks = local_world_size(launch)
    if launch.nodes == 1:
        return [_torchrun_command(1, ranks, None, launch, run)]
    endpoint = launch.rendezvous or f"FIRST_NODE:{DEFAULT_PORT}"
    slurm = f'"$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)":{DEFAULT_PORT}'
    return [
        f"# on each of the {launch.nodes} nodes:",
        _torchrun_command(launch.nodes, ranks, endpoint, launch, run),
        "# or in a Slurm job:",
        f"srun --nodes={launch.nodes} --ntasks-per-node=1 --gpus-per-node={ranks} "
        + _torchrun_command(launch.nodes, ranks, slurm, launch, run),
    ]


def _torchrun_command(
    nodes: int, ranks: int, endpoint: str | None, launch: Launch, run: Path
) -> str:
    python = shlex.quote(sys.executable)
    words = [python, "-m", "torch.distributed.run"]
    words += [f"--nnodes={nodes}", f"--nproc-per-node={ranks}"]
    if endpoint:
        name = shlex.quote(run.parent.name)
        words += ["--rdzv-backend=c10d", f"--rdzv-endpoint={endpoint}", f"--rdzv-id={name}"]
    else:
        words.append("--standalone")
    words += [f"--max-restarts={launch.restarts}", "-m", WORKER_MODULE, shlex.quote(str(run))]
    return " ".join(words)


def read_hostfile(name: str) -> dict[str, int]:
    """Return the number of ranks by host, from lines ``NAME slots=N``; raises UsageError."""
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
        raise UsageError(f"{name} contains no host")
    return hosts
