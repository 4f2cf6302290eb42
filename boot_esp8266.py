# The boot.py of boards without slots (docs/updates.md): boot.py's names would take memory of an
# ESP8266. Collect often while code is loaded, in many small pieces: what is left between them is
# lost for the large ones that TLS and messages need. app.py sets the later pace.
import gc

gc.collect()
gc.threshold(4096)
