"""What a config costs and how it learns, without training it.

======================  =====================================================
``model_info.py``       parameters, FLOPs and activations of every part
``training_memory.py``  memory of a training step
``fake_models.py``      models without memory, for the two above
``lr_groups.py``        learning rates by group and over the schedule
``differences.py``      two configs, value by value
======================  =====================================================
"""
