"""Counts the FLOPs and activations of a model while it runs, by its parts.

FLOPs are multiply-adds of convolutions, depthwise ones too, and of matrix products
(linear layers, attention), as the papers count. Not counted are biases, norms
(LayerNorm, BatchNorm, GRN), activation functions, layer scale, softmax, additions,
resizing, pooling, RoIAlign, deformable sampling and NMS.

Activations are the elements of the outputs of the counted operations.
"""

from collections import Counter
from collections.abc import Callable

from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry
from torch.utils.hooks import RemovableHandle

REST = 'model'  # the part of operations outside of every named part


class OpCounter(TorchDispatchMode):
    """Counts, within a ``with`` block, what runs inside the modules of each part.

    Args:
        model: The model that will run.
        part_of: Takes the dotted name of a module and returns the name of its part.

    Attributes:
        flops: Multiply-adds of each part, in the order in which the parts first ran.
        activations: Output elements of the counted operations of each part.
    """

    def __init__(self, model: nn.Module, part_of: Callable[[str], str]) -> None:
        super().__init__()
        self.flops: Counter[str] = Counter()
        self.activations: Counter[str] = Counter()
        self._active = [REST]  # parts whose modules are running, innermost last
        self._hooks: list[RemovableHandle] = []
        for name, module in model.named_modules():
            if name:
                self._watch(module, part_of(name))

    def _watch(self, module: nn.Module, part: str) -> None:
        def enter(module: nn.Module, args: tuple) -> None:
            self._active.append(part)

        def leave(module: nn.Module, args: tuple, out: object) -> None:
            self._active.pop()

        self._hooks.append(module.register_forward_pre_hook(enter))
        self._hooks.append(module.register_forward_hook(leave))

    def __exit__(self, *exception: object) -> None:
        """Stop counting, and leave the model without hooks."""
        super().__exit__(*exception)
        for hook in self._hooks:
            hook.remove()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None) -> object:
        """Run an operation of PyTorch and add it to the part that runs."""
        out = func(*args, **(kwargs or {}))
        formula = flop_registry.get(func.overloadpacket)
        if formula is not None:
            part = self._active[-1]
            # PyTorch counts a multiply-add as two FLOPs.
            self.flops[part] += formula(*args, **(kwargs or {}), out_val=out) // 2
            first = out[0] if isinstance(out, tuple) else out
            self.activations[part] += first.numel()
        return out
