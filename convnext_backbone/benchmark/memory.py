"""Peak memory of training steps, in a separate process for each contestant.

All processes import the same modules, whichever contestant they run.
"""

import importlib
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from convnext_backbone.benchmark.arch_specs import Arch
from convnext_backbone.benchmark.peers import PEERS, build
from convnext_backbone.benchmark.random_weights import random_state_dict
from convnext_backbone.benchmark.shared_drop_path import KeptSamples
from convnext_backbone.benchmark.timed_steps import TrainingStep
from convnext_backbone.export.timing import Step

STEPS = 2  # the second starts with what the allocator kept of the first


@dataclass(frozen=True)
class Job:
    """What a process measures.

    Attributes:
        name: 'ours' or a peer.
        arch: The architecture.
        drop_path: Drop path rate of its last block.
        with_cp: Checkpointing, as :func:`~convnext_backbone.benchmark.peers.build`
            takes it.
        batch: Number of images in a step.
        shape: Their height and width, pixels.
        threads: Number of PyTorch's threads.
        device: The device to run on.
        peers: All peers of the comparison, whose libraries are imported.
        data_root: A data set in COCO's layout, for the step of a detector; None for
            the step of the backbone alone.
    """

    name: str
    arch: Arch
    drop_path: float
    with_cp: bool | str
    batch: int
    shape: tuple[int, int]
    threads: int
    device: str
    peers: Sequence[str]
    data_root: str | None = None


@dataclass(frozen=True)
class Peak:
    """Memory of a process in MB of 2**20 bytes: before the model is built, and peak."""

    base_mb: float
    peak_mb: float


def peak_memory(job: Job) -> Peak:
    """Run a job in a separate process.

    Raises:
        ChildProcessError: The process failed; the message ends with what it wrote.
    """
    command = [sys.executable, '-m', __name__, json.dumps(asdict(job))]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise ChildProcessError(
            f'measuring the memory of {job.name}, arch {job.arch.name}, failed with '
            f'status {done.returncode}:\n{done.stderr[-4000:]}'
        )
    return Peak(**json.loads(done.stdout.splitlines()[-1]))


def run(job: Job) -> Peak:
    """Run a job in this process."""
    torch.set_num_threads(job.threads)
    for peer in job.peers:
        for module in PEERS[peer].imports if peer in PEERS else ():
            importlib.import_module(module)
    height, width = job.shape
    if job.data_root:
        import mmdet.models  # noqa: F401  (belongs to the memory before the model)

        from convnext_backbone.benchmark import detector_step

        batch = detector_step.load_batch(
            job.data_root, job.batch, (height, width), job.device
        )
    else:
        images = torch.randn(job.batch, 3, height, width, device=job.device)
    base = _memory(job.device)[0]
    kept_samples = KeptSamples(job.drop_path, sum(job.arch.depths))
    contestant = build(
        job.name, job.arch, kept_samples, random_state_dict(job.arch), job.with_cp
    )
    contestant.module.to(job.device)
    step: Step
    if job.data_root:
        step = detector_step.DetectorStep(contestant, job.arch, kept_samples, batch)
    else:
        step = TrainingStep(contestant, kept_samples, images)
    for seed in range(STEPS):
        step(seed)
    return Peak(base, _memory(job.device)[1])


def _memory(device: str) -> tuple[float, float]:
    """Return the MB of this process, or of tensors on the GPU: now, and the peak."""
    if torch.device(device).type == 'cuda':
        now, most = torch.cuda.memory_allocated, torch.cuda.max_memory_allocated
        return now(device) / 2**20, most(device) / 2**20
    status = Path('/proc/self/status')
    if status.is_file():
        # A child process inherits ru_maxrss, which would be at least the peak of the
        # process that started it.
        fields = dict(line.split(':', 1) for line in status.read_text().splitlines())
        kilobytes = [int(fields[key].split()[0]) for key in ('VmRSS', 'VmHWM')]
        return kilobytes[0] / 2**10, kilobytes[1] / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    peak_mb = peak / (2**20 if sys.platform == 'darwin' else 2**10)
    return peak_mb, peak_mb


def _main() -> None:
    fields = json.loads(sys.argv[1])
    arch: dict = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in fields.pop('arch').items()
    }
    print(json.dumps(asdict(run(Job(arch=Arch(**arch), **fields)))))


if __name__ == '__main__':
    _main()
