"""How Cython makes C of fastnn/core: for setup.py and tools/targets.py."""

# Functions are the interpreter's own kind, a sixth smaller than Cython's. What can be pickled has a __reduce__.
DIRECTIVES = {"language_level": 3, "cdivision": True, "binding": False, "embedsignature": True,
              "embedsignature.format": "clinic", "auto_pickle": False, "freethreading_compatible": True,
              "warn.unreachable": False}
# What Cython would put into every module, once, without what no module needs.
SHARED = {"shared_utility_qualified_name": "fastnn.core.utilities",
          "shared_utility_features_disabled": ["AutoPickle", "CythonFunction", "MemoryView", "PythonClasses"]}
