"""The project's nodes in mmengine's registry tree, scope ``convnext_backbone``.

``type='convnext_backbone.ConvNeXt'`` makes mmengine import this file, from any
toolbox and without ``custom_imports``. An ImportError raised here would be
swallowed by mmengine, so nothing but mmengine may be imported.
"""

from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import METRICS as ROOT_METRICS
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.registry import OPTIM_WRAPPER_CONSTRUCTORS as ROOT_CONSTRUCTORS
from mmengine.registry import OPTIM_WRAPPERS as ROOT_OPTIM_WRAPPERS
from mmengine.registry import WEIGHT_INITIALIZERS as ROOT_WEIGHT_INITIALIZERS
from mmengine.registry import Registry

MODELS = Registry(
    'model',
    parent=ROOT_MODELS,
    scope='convnext_backbone',
    locations=['convnext_backbone.backbone.convnext', 'convnext_backbone.tasks.tta'],
)
OPTIM_WRAPPER_CONSTRUCTORS = Registry(
    'optimizer wrapper constructor',
    parent=ROOT_CONSTRUCTORS,
    scope='convnext_backbone',
    locations=['convnext_backbone.backbone.optim_constructor'],
)
HOOKS = Registry(
    'hook',
    parent=ROOT_HOOKS,
    scope='convnext_backbone',
    locations=[
        'convnext_backbone.openmmlab.checkpoint_hook',
        'convnext_backbone.results.show_hook',
    ],
)
OPTIM_WRAPPERS = Registry(
    'optimizer wrapper',
    parent=ROOT_OPTIM_WRAPPERS,
    scope='convnext_backbone',
    locations=['convnext_backbone.openmmlab.amp'],
)
METRICS = Registry(
    'metric',
    parent=ROOT_METRICS,
    scope='convnext_backbone',
    locations=[
        'convnext_backbone.results.label_maps',
        'convnext_backbone.results.predictions',
    ],
)
WEIGHT_INITIALIZERS = Registry(
    'weight initializer',
    parent=ROOT_WEIGHT_INITIALIZERS,
    scope='convnext_backbone',
    locations=['convnext_backbone.checkpoints.loading'],
)
