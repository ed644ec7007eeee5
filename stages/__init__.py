"""One thin script a stage: read params, call the library, write the declared outputs."""

import gc
import os
import sys

# Half of a small stage's time is imports. Collecting garbage while thousands of modules load only costs (0.4 s
# with torch), and so does torch's search of all installed packages for device plug-ins. This is for a stage that
# starts as a script: `python -m` says so while it looks for the module. Whoever else imports stages keeps what is set.
if sys.argv[:1] == ["-m"]:
    gc.disable()
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
