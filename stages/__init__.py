"""One small script per DVC stage: read params, call the library, write the declared outputs."""

import gc
import os
import sys

from pipeline.runtime import numerics

# Imports take half of a small stage's time. Garbage collection is useless while thousands of modules load (0.4 s with
# torch), and so is torch's search of all installed packages for device plug-ins. Both are turned off only if a stage
# runs as a script: while `python -m` looks for the module, sys.argv begins with "-m". Other importers are unaffected.
if sys.argv[:1] == ["-m"]:
    gc.disable()
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
    numerics.apply()
