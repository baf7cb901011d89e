"""Ranks as processes: how they start, and what happens when one of them dies."""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

if not all(map(find_spec, ("torch", "transformers", "deepspeed", "peft"))):
    pytest.skip("seqit[train] is not installed", allow_module_level=True)

from support.tiny_model import make_model
from support.training import (
    curve,
    logs,
    make_recipe,
    metrics,
    random_rows,
    train,
    write_prepared,
    write_run,
)

from seqit.errors import SeqitError, UsageError
from seqit.train.launch import launcher as launch
from seqit.train.launch.nodes import launch_commands, read_hostfile
from seqit.train.loop import extensions
from seqit.train.loop.deepspeed_config import DeepSpeedSettings, deepspeed_config
from seqit.train.loop.trainer import zero_stage
from seqit.train.recipe import Launch, Lora, Memory, TrainRecipe

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

LAUNCH = """
import sys, orjson
from pathlib import Path
from seqit.errors import SeqitError
from seqit.train.launch.launcher import train
from seqit.train.recipe import TrainRecipe
try:
    train(TrainRecipe.from_dict(orjson.loads(Path(sys.argv[1]).read_bytes())))
except SeqitError as error:
    print(error, file=sys.stderr)
    sys.exit(error.exit_code)
"""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    return make_model(folder / "model"), write_prepared(folder / "tokens", random_rows(125))


@pytest.fixture(scope="module")
def uninterrupted(base, tmp_path_factory):
    recipe = make_recipe(
        *base, tmp_path_factory.mktemp("uninterrupted"), max_steps=40, batch_size=4, zero=2
    )
    assert train(recipe, 2) == [0, 0], logs(recipe)
    return recipe


def start(recipe):
    """Start the launcher as a process."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(write_run(recipe))],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def rank_pids(launcher):
    """Return the process ids of the launcher's ranks, in their order."""
    listing = Path(f"/proc/{launcher.pid}/task/{launcher.pid}/children").read_text()
    pids = {}
    for pid in map(int, listing.split()):
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        ranks = [int(v[5:]) for v in environment if v.startswith(b"RANK=")]
        pids |= dict.fromkeys(ranks, pid)
    return [pids[rank] for rank in sorted(pids)]


def wait_for_step(recipe, launcher, step):
    path = Path(recipe.output) / "metrics.jsonl"
    while launcher.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= step:
            return
        time.sleep(0.01)
    pytest.fail(launcher.stderr.read())


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_killed_rank_explains_the_errors_of_the_others(tmp_path):
    def ended(rank, script):
        process = subprocess.Popen(["sh", "-c", script])
        process.wait()
        log = tmp_path / f"{rank}.log"
        log.write_text("Connection closed by peer\n")
        return launch.RankProcess(rank, process, log, tmp_path / f"{rank}.error")

    ranks = [ended(0, "exit 1"), ended(1, "kill -9 $$"), ended(2, "exit 1")]
    cause = launch._root_cause(ranks[0], ranks)
    assert cause is ranks[1]
    assert "rank 1 of 3 was killed by SIGKILL" in str(launch._failure_error(cause, ranks, tmp_path))
    assert launch._root_cause(ranks[0], [ranks[0], ranks[2]]) is ranks[0]


@pytest.mark.slow
def test_a_dead_rank_is_named_and_the_run_resumes_after_it_and_after_sigterm(
    base, uninterrupted, tmp_path
):
    settings = {"max_steps": 40, "batch_size": 4, "zero": 2, "every": 2, "ranks": 2}
    recipe = make_recipe(*base, tmp_path / "run", **settings)
    launcher = start(recipe)
    wait_for_step(recipe, launcher, 4)
    pids = rank_pids(launcher)
    os.kill(pids[1], signal.SIGKILL)
    _, stderr = launcher.communicate(timeout=60)
    assert launcher.returncode == 1
    assert "rank 1 of 2 was killed by SIGKILL, as the kernel does when memory runs out" in stderr
    assert "--resume continues from the newest checkpoint" in stderr
    assert not any(map(is_alive, pids))

    again = start(recipe)
    _, stderr = again.communicate(timeout=60)
    assert again.returncode == 1
    assert "contains the checkpoints of a run; continue it with --resume" in stderr

    resumed = make_recipe(*base, tmp_path / "run", **settings, resume=True)
    launcher = start(resumed)
    wait_for_step(recipe, launcher, len(metrics(recipe)) + 3)
    launcher.send_signal(signal.SIGTERM)
    _, stderr = launcher.communicate(timeout=60)
    assert launcher.returncode == 143, stderr
    assert "seqit train: resumes after step " in stderr
    assert "stopped by SIGTERM after step " in stderr

    launcher = start(resumed)
    _, stderr = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, stderr
    assert curve(recipe) == curve(uninterrupted)


@pytest.mark.slow
def test_a_stop_before_the_first_step(base, tmp_path):
    launcher = start(make_recipe(*base, tmp_path / "run", max_steps=40, ranks=2))
    while not list(tmp_path.glob("run/logs/rank-00001.log")):
        time.sleep(0.01)
    launcher.send_signal(signal.SIGINT)
    _, stderr = launcher.communicate(timeout=60)
    assert launcher.returncode == 130 and stderr.endswith("stopped before the first step\n")


@pytest.mark.slow
def test_ranks_end_with_a_launcher_that_is_killed(base, tmp_path):
    recipe = make_recipe(*base, tmp_path / "run", max_steps=4000, ranks=2)
    launcher = start(recipe)
    wait_for_step(recipe, launcher, 1)
    pids = rank_pids(launcher)
    assert len(pids) == 2 and all(map(is_alive, pids))
    launcher.kill()
    launcher.communicate()
    deadline = time.monotonic() + 20
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, pids))


@pytest.mark.slow
def test_ranks_are_restarted_if_requested(base, uninterrupted, tmp_path):
    recipe = make_recipe(
        *base, tmp_path / "run", max_steps=40, batch_size=4, zero=2, every=2, ranks=2, restarts=1
    )
    launcher = start(recipe)
    wait_for_step(recipe, launcher, 6)
    os.kill(rank_pids(launcher)[0], signal.SIGKILL)
    _, stderr = launcher.communicate(timeout=120)
    assert launcher.returncode == 0, stderr
    assert "rank 0 of 2 was killed by SIGKILL" in stderr and "restarting the ranks" in stderr
    assert curve(recipe) == curve(uninterrupted)


@pytest.mark.slow
def test_torchrun_gives_the_same_result(base, uninterrupted, tmp_path):
    recipe = make_recipe(*base, tmp_path / "run", max_steps=40, batch_size=4, zero=2, ranks=2)
    write_run(recipe)
    (command,) = launch_commands(recipe)
    done = subprocess.run(
        command, shell=True, capture_output=True, text=True, timeout=200,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert curve(recipe) == curve(uninterrupted)


@pytest.mark.slow
def test_a_rank_that_crashes_shows_the_end_of_its_log(base, tmp_path):
    recipe = make_recipe(*base, tmp_path / "run", max_steps=2, ranks=1)
    (Path(recipe.model) / "config.json").rename(tmp_path / "config.json")
    try:
        with pytest.raises(launch.RankFailed, match=r"is a folder without config\.json") as caught:
            write_run(recipe)
            launch.train(recipe)
    finally:
        (tmp_path / "config.json").rename(Path(recipe.model) / "config.json")
    assert caught.value.exit_code == 1
    other = make_recipe(*base, tmp_path / "other", max_steps=2, ranks=1, micro_batch=-1)
    write_run(other)
    with pytest.raises(launch.RankFailed, match=r"(?s)rank 0 of 1 exited with code 1; the end of"):
        launch.train(other)


def run(**changes):
    return TrainRecipe(model="m", output="/runs/a b", launch=Launch(**changes))


def words(command):
    return command.replace(sys.executable, "python")


def test_the_commands_for_many_nodes(tmp_path, monkeypatch):
    rank = "-m seqit.train.launch.worker '/runs/a b/run.json'"
    (one,) = map(words, launch_commands(run(ranks=8, restarts=3)))
    assert one == (
        "python -m torch.distributed.run --nnodes=1 --nproc-per-node=8 --standalone "
        f"--max-restarts=3 {rank}"
    )
    _, each, _, slurm = map(words, launch_commands(run(ranks=8, nodes=4, rendezvous="gpu1:1234")))
    meets = "--nnodes=4 --nproc-per-node=8 --rdzv-backend=c10d"
    assert each == (
        f"python -m torch.distributed.run {meets} --rdzv-endpoint=gpu1:1234 --rdzv-id='a b' "
        f"--max-restarts=0 {rank}"
    )
    assert slurm.startswith("srun --nodes=4 --ntasks-per-node=1 --gpus-per-node=8 python -m torch")
    assert (
        '--rdzv-endpoint="$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)":29500'
        in slurm
    )
    monkeypatch.chdir(tmp_path)
    hosts = tmp_path / "hosts"
    hosts.write_text("# two nodes\ngpu1 slots=8\n\ngpu2 slots=4  # smaller\n")
    first, second = map(words, launch_commands(run(hostfile=str(hosts))))
    assert first.startswith(
        f"ssh gpu1 'cd {tmp_path} && python -m torch.distributed.run --nnodes=2 "
    )
    assert "--nproc-per-node=8" in first and "--nproc-per-node=4" in second
    assert "--rdzv-endpoint=gpu1:29500" in first and "--rdzv-endpoint=gpu1:29500" in second
    with pytest.raises(UsageError, match="--print-launch prints the commands"):
        launch.train(run(nodes=2))


@pytest.mark.parametrize(
    "text", ["gpu1", "gpu1 slots=x", "gpu1 slots=1\ngpu1 slots=2", "gpu1 8", ""]
)
def test_an_invalid_hostfile(tmp_path, text):
    (tmp_path / "hosts").write_text(text)
    with pytest.raises(UsageError, match=r"hosts(, line|.* contains no host)"):
        read_hostfile(str(tmp_path / "hosts"))


def settings(stage=2, offload=None, dtype="bfloat16"):
    return DeepSpeedSettings(stage, offload, dtype, ranks=8, max_grad_norm=1.0)


def test_the_configuration_of_deepspeed():
    config = deepspeed_config(settings(3, "cpu"))
    zero = config["zero_optimization"]
    assert zero["stage"] == 3 and zero["offload_param"]["device"] == "cpu"
    assert config["bf16"] == {"enabled": True} and config["data_types"] == {
        "grad_accum_dtype": "fp32"
    }
    assert config["train_batch_size"] == 8 and config["gradient_clipping"] == 1.0
    assert "bf16" not in deepspeed_config(settings(0, dtype="float32"))
    nvme = deepspeed_config(settings(3, "nvme:/scratch"))["zero_optimization"]
    assert (
        nvme["offload_optimizer"]["nvme_path"] == nvme["offload_param"]["nvme_path"] == "/scratch"
    )
    for bad in (
        settings(0, "cpu"),
        settings(2, "nvme:/x"),
        settings(3, "disk"),
        settings(dtype="fp8"),
    ):
        with pytest.raises(UsageError):
            deepspeed_config(bad)


def test_the_users_file_overrides_what_the_recipe_does_not_decide(tmp_path):
    file = tmp_path / "ds.json"
    file.write_text(
        '{"zero_optimization": {"stage": "auto", "reduce_bucket_size": 5, "overlap_comm": false},'
        '"train_batch_size": "auto", "optimizer": "auto", "fp16": {"enabled": "auto"},'
        '"wall_clock_breakdown": true, "gradient_clipping": "auto"}'
    )
    config = deepspeed_config(settings(), str(file))
    default = deepspeed_config(settings())
    assert config["zero_optimization"] == default["zero_optimization"] | {
        "reduce_bucket_size": 5, "overlap_comm": False}  # fmt: skip
    assert config.pop("wall_clock_breakdown") and config.keys() == default.keys()
    for text, match in (
        (
            '{"train_batch_size": 4}',
            'the recipe decides train_batch_size; remove it, or set it to "auto"',
        ),
        ('{"optimizer": {"type": "Adam"}}', "remove optimizer; the recipe decides it"),
        ('{"zero_optimization": {"stage": 1}}', "ZeRO stage 1, but the recipe says 2"),
        ("[]", "is not a JSON object"),
        ("{", "is not JSON"),
    ):
        file.write_text(text)
        with pytest.raises(UsageError, match=match):
            deepspeed_config(settings(), str(file))
    with pytest.raises(SeqitError, match=r"no\.json: No such file"):
        deepspeed_config(settings(), str(tmp_path / "no.json"))


def test_the_default_stage():
    assert zero_stage(TrainRecipe(), 1) == 1 and zero_stage(TrainRecipe(), 8) == 3
    assert zero_stage(TrainRecipe(lora=Lora()), 8) == 2
    assert zero_stage(TrainRecipe(memory=Memory(zero=1)), 8) == 1
    assert zero_stage(TrainRecipe(memory=Memory(offload="cpu")), 1) == 2
    assert zero_stage(TrainRecipe(memory=Memory(offload="nvme:/x")), 1) == 3


def test_extensions_are_compiled_only_for_nvme_and_despite_a_stale_lock(tmp_path, monkeypatch):
    assert extensions.build_extensions(None) == extensions.build_extensions("cpu") == {}
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCH_EXTENSIONS_DIR", raising=False)
    folder = extensions._default_folder()
    (folder / "async_io").mkdir(parents=True)
    (folder / "async_io" / "lock").touch()  # left by a killed process
    monkeypatch.setattr(
        extensions, "BUILD_SCRIPT", "import os; print(os.environ['TORCH_EXTENSIONS_DIR'])"
    )
    assert extensions.build_extensions("nvme:/x") == {"TORCH_EXTENSIONS_DIR": str(folder)}
    assert not (folder / "async_io" / "lock").exists()
    monkeypatch.setattr(extensions, "BUILD_SCRIPT", "raise SystemExit('libaio is missing')")
    with pytest.raises(
        SeqitError, match=r"cannot be compiled here: libaio is missing\. Use --offload cpu"
    ):
        extensions.build_extensions("nvme:/x")


def test_offload_to_the_cpu_does_not_change_the_results(base, uninterrupted, tmp_path):
    """Without a GPU this tests only the code: everything is in the CPU's memory anyway."""
    for stage in (2, 3):
        recipe = make_recipe(
            *base,
            tmp_path / str(stage),
            max_steps=40,
            batch_size=4,
            zero=stage,
            offload="cpu",
            every=20,
        )
        assert train(recipe, 2) == [0, 0], logs(recipe)
        for actual, expected in zip(curve(recipe), curve(uninterrupted), strict=True):
            assert actual == pytest.approx(expected, rel=1e-4)
        shutil.rmtree(Path(recipe.output) / "checkpoints" / "step-00000040")
        assert train(recipe, 2) == [0, 0], logs(recipe)
        assert "resumes after step 20 of 40" in logs(recipe)
        assert curve(recipe)[-1] == pytest.approx(curve(uninterrupted)[-1], rel=1e-4)
