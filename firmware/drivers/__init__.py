# One chip a file. Which of them is on the bus, search.py finds out.


def find(bus, wanted):
    # wanted is "auto", "bme280" or "bme280@0x76". Returns (driver, label): the label always has
    # the address. SensorError names everything that was found instead.
    from firmware.drivers import search

    return search.find(bus, wanted)
