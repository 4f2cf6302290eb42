# Runs before main.py. Collect early and often: the ESP8266 has 38 KB, and a big hole is needed for TLS.
import gc

gc.collect()
gc.threshold(gc.mem_free() // 4 + gc.mem_alloc())
