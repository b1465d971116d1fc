"""What the commands do, as functions with plain arguments.

==================  =========================================================
``train.py``        trains from a config; ``initial_weights.py`` fetches what it
                    starts from, ``run_record.py`` notes command, time, memory
``evaluate.py``     metrics, predictions and pictures of a checkpoint
``mask_labels.py``  looks at masks before a training or an evaluation
``tta.py``          several views of an image, one prediction
``infer.py``        predicts on image files
``browse.py``       images beside their augmented samples
``finetune/``       a folder of images -> a config and a training
``report/``         a work dir -> one HTML page
==================  =========================================================
"""
