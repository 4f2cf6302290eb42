# The part of `esp32` that this firmware may ask for. The figures are those of a WROOM-32 that has
# just joined a network: (size, free, largest free block, least ever free) per region, in bytes.

HEAP_DATA = 4  # MALLOC_CAP_8BIT in ESP-IDF
HEAP_EXEC = 1

_DATA = ((7288, 0, 0, 0), (16648, 5440, 5120, 4072), (86104, 61268, 59392, 52124))
_EXEC = ((15072, 7880, 7680, 7880), (113840, 68948, 65536, 62016))


def idf_heap_info(capabilities):
    return list(_EXEC if capabilities & HEAP_EXEC else _DATA)


def raw_temperature():
    # Fahrenheit, as the chip's own sensor has it.
    return 128
