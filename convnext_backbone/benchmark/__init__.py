"""Proof that our backbone is faster and smaller than others that compute the same.

Every peer gets our weights; outputs and gradients are compared with ours
before anything is timed.

=================  ============================================================
``archs.py``       the names of models, and the drop path rates of detectors
``formulas.py``    Meta's and mmpretrain's backbone, which cannot be installed
``kept_samples.py``       the same dropped samples for everyone
``peers.py``       an arch and our weights -> anyone's backbone; ``libraries.py`` has
                   those that can be installed; ``weights.py`` draws the weights
``check.py``       outputs and gradients equal ours
``measure.py``     what is timed, in turn in one process
``memory.py``      peak memory: a process for each
``machine.py``     the machine's fastest matrix product; FLOPs of a step
``detector.py``    a training step of Mask R-CNN
``infer.py``       ways to run our backbone for inference
``options.py``     what to compare; ``pairing.py`` who with whom
``run.py``         all of it, arch by arch
``results.py``     rows of JSON and the table; ``chart.py`` draws them
=================  ============================================================
"""
