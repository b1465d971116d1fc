"""Reads checkpoint files without running anything that they bring along.

======================  =====================================================
``reading.py``          a file -> tensors and plain containers, never code
``inspection.py``       looks through a pickle before torch reads it
``stand_ins.py``        stand for classes while torch reads; makes the few objects
                        that are allowed
``embedded_configs.py`` configs inside of checkpoints, which mmengine executes
======================  =====================================================
"""
