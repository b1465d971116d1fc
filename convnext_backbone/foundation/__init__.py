"""What every room stands on; it needs the standard library only.

==================  =========================================================
``errors.py``       the error that a user can cause, and mend
``home.py``         where the project keeps its caches
``json_files.py``   JSON files, written whole or not at all
``missing.py``      what to install when an import fails
==================  =========================================================
"""
