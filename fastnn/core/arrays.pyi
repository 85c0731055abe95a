# Nothing for Python: its functions are called from the other compiled modules.
