"""What report and test-time augmentation use of other packages without their promise.

A failure here names the module of ours that has to follow the other package.
"""

import inspect

import numpy as np
import pytest
from mmengine.logging import MMLogger
from mmengine.utils import ManagerMixin


def test_mmengine_keeps_global_instances_in_one_dictionary_of_each_class():
    MMLogger.get_instance('private_names')
    assert 'private_names' in getattr(MMLogger, '_instance_dict', {}), (
        'ManagerMixin has no _instance_dict any more: mmengine_globals_restored in '
        'openmmlab/compat.py must restore what has taken its place'
    )
    assert MMLogger._instance_dict is not ManagerMixin._instance_dict
    del MMLogger._instance_dict['private_names']


def test_mmdet_s_mask_heads_can_be_run_on_boxes():
    from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead

    for kind, arguments in (
        (StandardRoIHead, ['self', 'x', 'rois']),
        (CascadeRoIHead, ['self', 'stage', 'x', 'rois']),
    ):
        method = getattr(kind, '_mask_forward', None)
        assert method is not None, (
            f'{kind.__name__} has no _mask_forward any more: InstanceTTAModel in '
            f'openmmlab/compat.py::mask_logits must predict masks otherwise'
        )
        found = list(inspect.signature(method).parameters)
        assert found[: len(arguments)] == arguments, (
            f'{kind.__name__}._mask_forward takes {found}: tasks/tta.py passes '
            f'{arguments}'
        )


def test_supervision_s_confusion_matrix_has_the_background_last():
    sv = pytest.importorskip('supervision')
    found = np.array([(0, 0, 10, 10, 1, 0.9)], np.float32)
    real = np.array([(20, 20, 30, 30, 0)], np.float32)
    matrix = sv.ConfusionMatrix.from_tensors(
        [found], [real], ['a', 'b'], conf_threshold=0.0, iou_threshold=0.5
    ).matrix
    assert matrix.tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 0]], (
        "supervision's ConfusionMatrix has another form: match_boxes in "
        'tasks/report/detection_matching.py must read it accordingly'
    )


def test_faster_coco_eval_returns_precision_by_iou_recall_and_class():
    from faster_coco_eval import COCO, COCOeval_faster

    box = dict(image_id=1, category_id=1, bbox=[0, 0, 10, 10])
    truth = COCO(
        dict(
            images=[dict(id=1, height=20, width=20)],
            annotations=[dict(box, id=1, area=100, iscrowd=0)],
            categories=[dict(id=1, name='a')],
        )
    )
    evaluation = COCOeval_faster(truth, truth.loadRes([dict(box, score=1.0)]), 'bbox')
    evaluation.params.maxDets = [100, 300, 1000]
    evaluation.run()
    assert evaluation.eval['precision'].shape == (10, 101, 1, 4, 3), (
        'the precision of COCOeval_faster has another shape: precision_table in '
        'tasks/report/detection_findings.py must read it accordingly'
    )
