"""What ``inspect_config`` uses of PyTorch and mmengine without their promise.

A failure here names the module of ours that has to follow the other package.
"""

import importlib

import pytest
import torch


@pytest.mark.parametrize(
    ('module', 'name', 'user'),
    [
        ('torch._subclasses.fake_tensor', 'FakeTensorMode', 'fake_models.py'),
        ('torch.utils._python_dispatch', 'TorchDispatchMode', 'op_counter.py'),
        ('torch.utils.flop_counter', 'flop_registry', 'op_counter.py'),
        (
            'torch.nn.modules.module',
            'register_module_parameter_registration_hook',
            'fake_models.py',
        ),
        ('mmengine.optim', '_ParamScheduler', 'lr_curves.py'),
    ],
)
def test_private_names_exist(module, name, user):
    assert hasattr(importlib.import_module(module), name), (
        f'{module} has no {name} any more: inspect_config/{user} must use what has '
        f'taken its place'
    )


def test_a_storage_has_an_address_that_its_tensors_share():
    tensor = torch.zeros(4)
    storage, view = tensor.untyped_storage(), tensor[1:].untyped_storage()
    assert hasattr(storage, '_cdata'), (
        'torch.UntypedStorage has no _cdata any more: training_memory.py must tell '
        'storages apart by something else'
    )
    assert storage._cdata == view._cdata != torch.zeros(4).untyped_storage()._cdata


def test_the_registry_of_flops_has_the_operations_that_are_counted():
    from torch.utils.flop_counter import flop_registry

    aten = torch.ops.aten
    counted = {aten.mm, aten.addmm, aten.bmm, aten.convolution}
    assert counted <= set(flop_registry), (
        'flop_registry does not count by operation as before: inspect_config/'
        'op_counter.py would count too little'
    )
