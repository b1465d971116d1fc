"""UperNet for crops of 640.

Meta's single-scale test slides as here; its training configs, which validate as they
go, see the whole image.
"""

_base_ = 'upernet.py'

model = dict(
    data_preprocessor=dict(size=(640, 640)),
    test_cfg=dict(crop_size=(640, 640), stride=(426, 426)),
)
