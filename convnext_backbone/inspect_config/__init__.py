"""What a config costs and how it learns, without training it.

======================  =====================================================
``model_info.py``       parameters, FLOPs and activations of every part
``op_counter.py``       counts FLOPs and activations while a model runs
``published_costs.py``  the published figures, and the README's table
``training_memory.py``  memory of a training step
``fake_models.py``      models that take no memory, for all of the above
``lr_groups.py``        parameter groups and their learning rates
``lr_curves.py``        learning rates over the schedule
``differences.py``      two configs, value by value
======================  =====================================================
"""
