# Runs before main.py. Collect often while code is loaded, in many small pieces: what is left
# between them is lost for the large ones that TLS and messages need. app.py sets the later pace.
import gc

gc.collect()
gc.threshold(4096)
