"""One thin script a stage: read params, call the library, write the declared outputs."""

import gc
import os

# Half of a small stage's time is imports. Collecting garbage while thousands of modules load only costs (0.4 s
# with torch), and so does torch's search of all installed packages for device plug-ins.
gc.disable()
os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")
