"""What makes mmengine, mmcv, mmdet and mmseg run here.

=======================  ====================================================
``mmcv_ext.py``          finds ``served_ops.py`` where mmcv has no compiled ops;
                         ``roi_align_cpu.py`` is one of them
``build_mmcv_ops.py``    compiles the real ones
``safe_loading.py``      mmengine reads checkpoints without running code
``import_patches.py``    changes a module when it is imported
``runner.py``            mmengine's Runner on a CPU, readable, with safe checkpoints
``amp.py``               mixed precision where there is no GPU
``checkpoint_hook.py``   the best checkpoint is never missing
``data_errors.py``       failures to read a data set, as the user's errors
``schedules.py``         what a config's schedulers ask for
``normalisation.py``     images normalised unlike those that the weights know
``building.py``          a config's wrong types and arguments, told to the user
``class_order.py``       whether two lists of class names number labels alike
``coco_labels.py``       COCO's categories as labels by their names
``coco_metric.py``       mmdet's COCO metrics, every number under its class
``no_predictions.py``    tells when nothing was predicted
``compat.py``            the private names of these packages that are used here
=======================  ====================================================
"""
