"""What every room stands on; only ``png.py`` needs more than the standard library.

==================  =========================================================
``errors.py``       the error that a user can cause, and mend
``home.py``         where the project keeps its caches
``files.py``        folders listed completely, files written whole or not at all
``json_files.py``   JSON files
``png.py``          pictures as PNG files
``missing.py``      what to install when an import fails
==================  =========================================================
"""
