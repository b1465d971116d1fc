"""Time and memory of our backbone beside others that compute the same.

Every peer gets our weights, and its outputs and gradients are compared with ours before
anything is timed.

=========================  ====================================================
``options.py``             what to compare, and whether it is valid
``arch_specs.py``          the architectures, and the drop path rates of detectors
``random_weights.py``      weights that all have an effect on the outputs
``peers.py``               architecture and weights -> a contestant's backbone
``formulas.py``            Meta's and mmpretrain's backbone, rewritten
``libraries.py``           those of timm, torchvision and transformers
``shared_drop_path.py``    drop path of the same samples in every backbone
``pairing.py``             which backbones take part, and which are compared
``equivalence.py``         outputs and gradients equal ours
``timed_steps.py``         what is timed: inference, a training step
``detector_step.py``       a training step of Mask R-CNN
``inference_variants.py``  ways to run ours for inference; ``engines.py`` has
                           those by ONNX Runtime and OpenVINO
``memory.py``              peak memory, of a process for each backbone
``flops.py``               FLOPs of the backbone
``machine.py``             the machine's fastest matrix product
``comparison.py``          all of it, one architecture after the other
``results.py``             rows of JSON and the table; ``chart.py`` draws them
=========================  ====================================================
"""
