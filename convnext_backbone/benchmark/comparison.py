"""Compares one architecture after the other: builds, checks, times, measures memory."""

from collections.abc import Callable, Iterator, Mapping

import torch
from tqdm import tqdm

from convnext_backbone.backbone.convnext import ConvNeXt
from convnext_backbone.benchmark import detector_step, flops, machine
from convnext_backbone.benchmark.arch_specs import Arch, find_archs
from convnext_backbone.benchmark.equivalence import check_equivalence
from convnext_backbone.benchmark.inference_variants import make_variants
from convnext_backbone.benchmark.memory import Job, peak_memory
from convnext_backbone.benchmark.options import Options
from convnext_backbone.benchmark.pairing import Key, entrants, pairs
from convnext_backbone.benchmark.peers import OURS, Contestant, build
from convnext_backbone.benchmark.random_weights import random_state_dict
from convnext_backbone.benchmark.results import Absent, Row, Subject, timed
from convnext_backbone.benchmark.shared_drop_path import KeptSamples
from convnext_backbone.benchmark.timed_steps import Inference, TrainingStep
from convnext_backbone.export.timing import Step, measure

# What the steps of a comparison time: `what` and `variant` of the rows, and a function
# that counts the FLOPs.
TIMED: dict[str, dict[str, tuple[str, str, Callable[..., float] | None]]] = {
    'backbone': {
        'train': ('forward', 'train', flops.forward_flops),
        'forward_backward': ('forward_backward', 'train', flops.step_flops),
    },
    'step': {'train_step': ('train_step', 'train', None)},
}


def compare(options: Options) -> Iterator[tuple[list[Row], list[Absent]]]:
    """Compare one architecture after the other.

    Args:
        options: What to compare; already checked.

    Yields:
        The rows of an architecture, and the peers that are missing in them.

    Raises:
        UserError: There are no images, or a peer does not compute what ours does.
    """
    data_root = None
    if options.what == 'step':
        data_root = detector_step.find_data(options.data_root)
    peak = machine.gemm_peak(options.device)
    for arch in find_archs(options.archs):
        comparison = _Comparison(options, arch, peak, data_root)
        if options.what == 'infer':
            rows = comparison.inference()
        else:
            rows = comparison.training()
        yield rows, comparison.absent


class _Comparison:
    """Ours and its peers in one architecture."""

    def __init__(
        self, options: Options, arch: Arch, gemm_peak: float, data_root: str | None
    ) -> None:
        self.options = options
        self.arch = arch
        self.gemm_peak = gemm_peak
        self.data_root = data_root
        self.state = random_state_dict(arch)
        generator = torch.Generator().manual_seed(0)
        shape = (options.batch, 3, *options.shape)
        self.images = torch.randn(shape, generator=generator).to(options.device)
        # Inference has no backward pass that could recompute anything.
        levels = [False] if options.what == 'infer' else options.with_cp
        self.keys, self.absent = entrants(arch, options.peers, levels)

    def inference(self) -> list[Row]:
        """Compare every variant of our inference with that of each peer."""
        contestants = self._checked_contestants(KeptSamples(0.0, sum(self.arch.depths)))
        ours = contestants[OURS, False].module
        assert isinstance(ours, ConvNeXt)
        variants = make_variants(ours, self.images)
        peers = {
            name: contestant.module
            for (name, _), contestant in contestants.items()
            if name != OURS
        }
        runs = {f'ours {name}': run for name, run in variants.items()} | peers
        steps = {name: Inference(run, self.images) for name, run in runs.items()}
        seconds = measure(steps, self.options.rounds, f'{self.arch.name} infer')
        return [
            self._timed(
                seconds[f'ours {variant}']['eval'],
                seconds[peer]['eval'],
                ('infer', variant, flops.forward_flops),
                0.0,
                (OURS, False),
                (peer, False),
            )
            for variant in variants
            for peer in peers
        ]

    def training(self) -> list[Row]:
        """Compare training steps of the backbone or of a detector, and their memory."""
        rows: list[Row] = []
        for rate in dict.fromkeys(self.options.drop_paths or [self.arch.drop_path]):
            kept_samples = KeptSamples(rate, sum(self.arch.depths))
            contestants = self._checked_contestants(kept_samples)
            if self.options.what == 'backbone' and not rows:
                rows += self._eval_rows(contestants)
            steps = self._steps(contestants, kept_samples)
            title = f'{self.arch.name} drop path {rate:g}'
            seconds = measure(steps, self.options.rounds, title)
            for key, names in TIMED[self.options.what].items():
                rows += [
                    self._timed(
                        seconds[ours][key],
                        seconds[peer][key],
                        names,
                        rate,
                        ours,
                        peer,
                    )
                    for ours, peer in pairs(self.keys)
                ]
            del contestants, steps  # frees memory for the processes that measure it
            rows += self._memory_rows(rate)
        return rows

    def _checked_contestants(self, kept_samples: KeptSamples) -> dict[Key, Contestant]:
        """Build all backbones that take part, and check that they compute the same."""
        contestants = {key: self._build(key, kept_samples) for key in self.keys}
        reference = contestants.get((OURS, False)) or self._build(
            (OURS, False), kept_samples
        )
        others = [c for c in contestants.values() if c is not reference]
        check_equivalence(reference, others, kept_samples, self.images)
        return contestants

    def _build(self, key: Key, kept_samples: KeptSamples) -> Contestant:
        name, with_cp = key
        contestant = build(name, self.arch, kept_samples, self.state, with_cp)
        contestant.module.to(self.options.device)
        return contestant

    def _steps(
        self, contestants: Mapping[Key, Contestant], kept_samples: KeptSamples
    ) -> Mapping[Key, Step]:
        """Make the training steps to time; those of detectors have the same losses."""
        if self.options.what == 'backbone':
            return {
                key: TrainingStep(contestant, kept_samples, self.images)
                for key, contestant in contestants.items()
            }
        options = self.options
        assert self.data_root is not None, 'find_data has found it'
        batch = detector_step.load_batch(
            self.data_root, options.batch, options.shape, options.device
        )
        steps = {
            key: detector_step.DetectorStep(contestant, self.arch, kept_samples, batch)
            for key, contestant in contestants.items()
        }
        detector_step.check_losses(steps)
        return steps

    def _eval_rows(self, contestants: Mapping[Key, Contestant]) -> list[Row]:
        """Compare forward passes in eval mode, where checkpointing has no effect."""
        first: dict[str, Key] = {}
        for key in self.keys:
            first.setdefault(key[0], key)
        steps = {
            name: Inference(contestants[key].module, self.images)
            for name, key in first.items()
        }
        seconds = measure(steps, self.options.rounds, f'{self.arch.name} eval')
        return [
            self._timed(
                seconds[OURS]['eval'],
                seconds[peer]['eval'],
                ('forward', 'eval', flops.forward_flops),
                0.0,
                (OURS, False),
                (peer, False),
            )
            for peer in first
            if peer != OURS
        ]

    def _memory_rows(self, rate: float) -> list[Row]:
        """Measure peak memory in processes, and make the rows of all pairs."""
        """Measure peak memory in processes, and make the rows of all pairs."""
        options = self.options
        peaks = {}
        title = f'{self.arch.name} memory'
        for name, with_cp in tqdm(self.keys, title, disable=None, leave=False):
            job = Job(
                name=name,
                arch=self.arch,
                drop_path=rate,
                with_cp=with_cp,
                batch=options.batch,
                shape=options.shape,
                threads=torch.get_num_threads(),
                device=options.device,
                peers=[name for name, _ in self.keys if name != OURS],
                data_root=self.data_root,
            )
            peaks[name, with_cp] = peak_memory(job)
        what = 'train_step' if options.what == 'step' else 'forward_backward'
        return [
            Row(
                metric='peak_mb',
                ours=peaks[ours].peak_mb,
                theirs=peaks[peer].peak_mb,
                base_mb=peaks[ours].base_mb,
                **self._subject(what, 'train', rate, ours, peer),
            )
            for ours, peer in pairs(self.keys)
        ]

    def _timed(
        self,
        our_seconds: list[float],
        peer_seconds: list[float],
        names: tuple[str, str, Callable[..., float] | None],
        rate: float,
        ours: Key,
        peer: Key,
    ) -> Row:
        """Make the row of the seconds of ours and of a peer."""
        what, variant, count_flops = names
        work = None
        if count_flops:
            batch, shape = self.options.batch, self.options.shape
            work = count_flops(self.arch, batch, shape, rate)
        subject = self._subject(what, variant, rate, ours, peer)
        return timed(subject, our_seconds, peer_seconds, work, self.gemm_peak)

    def _subject(
        self, what: str, variant: str, rate: float, ours: Key, peer: Key
    ) -> Subject:
        """Return the fields of a row that are not measured."""
        return Subject(
            what=what,
            variant=variant,
            arch=self.arch.name,
            drop_path=rate,
            with_cp=ours[1],
            peer=peer[0],
            batch=self.options.batch,
            shape=self.options.shape,
            threads=torch.get_num_threads(),
            device=self.options.device,
        )
