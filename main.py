from firmware.loading import run  # all of the program; what stands here would stay in memory

run()
