import pytest
from mmengine.registry import MODELS

from convnext_backbone import UserError
from convnext_backbone.openmmlab.building import building


def test_an_argument_that_a_class_has_not_is_told():
    backbone = dict(type='convnext_backbone.ConvNeXt', arch='atto', depht=3)
    told = r"config x\.py: .*argument 'depht': see"
    with pytest.raises(UserError, match=told), building('x.py'):
        MODELS.build(backbone)


def test_a_type_that_nobody_registered_is_told():
    told = r'config x\.py: ConvNeeXt is not in the'
    with pytest.raises(UserError, match=told), building('x.py'):
        MODELS.build(dict(type='ConvNeeXt'))


@pytest.mark.parametrize('defect', [TypeError('a defect'), KeyError('x'), KeyError()])
def test_a_defect_stays_one(defect):
    with pytest.raises(type(defect)), building('x.py'):
        raise defect
