# Which chips a text like "bme280@0x76" stands for.

from .aht20 import AHT10, AHT20
from .bosch import BME280, BMP280
from .hdc1080 import HDC1080
from .htu21d import HTU21D, SI7021, SHT2x
from .lm75 import LM75B, TMP102
from .mcp9808 import MCP9808
from .scd4x import SCD40, SCD41, SCD43
from .sht3x import SHT3x
from .sht4x import SHT4x
from .tmp117 import TMP117

# name -> (class, first address, last address)
CHIPS = {
    "bme280": (BME280, 0x76, 0x77),
    "bmp280": (BMP280, 0x76, 0x77),
    "sht3x": (SHT3x, 0x44, 0x45),
    "mcp9808": (MCP9808, 0x18, 0x1F),
    "tmp117": (TMP117, 0x48, 0x4B),
    "hdc1080": (HDC1080, 0x40, 0x40),
    "sht4x": (SHT4x, 0x44, 0x46),
    "htu21d": (HTU21D, 0x40, 0x40),
    "si7021": (SI7021, 0x40, 0x40),
    "sht2x": (SHT2x, 0x40, 0x40),
    "aht20": (AHT20, 0x38, 0x39),
    "aht10": (AHT10, 0x38, 0x39),
    "scd40": (SCD40, 0x62, 0x62),
    "scd41": (SCD41, 0x62, 0x62),
    "scd43": (SCD43, 0x62, 0x62),
    "lm75": (LM75B, 0x48, 0x4F),
    "tmp102": (TMP102, 0x48, 0x4F),  # a real one no further than 0x4B
}

# Past all start-up times but the SCD4x's, before the MCP9808's first conversion.
_PLUGGED_MS = 110


def make(spec: str) -> "list[tuple[int, object]]":
    made = {}
    for word in ("" if spec == "none" else spec).split(","):
        if not word.strip():
            continue
        name, place = (word.strip().split("@") + [""])[:2]
        if name not in CHIPS:
            raise ValueError("no chip {!r}; known: {}".format(name, ", ".join(sorted(CHIPS))))
        kind, first, last = CHIPS[name]
        addr = int(place, 16) if place else first
        if not first <= addr <= last:
            raise ValueError("{} has addresses 0x{:02x} to 0x{:02x}".format(name, first, last))
        if addr in made:
            raise ValueError("two chips at 0x{:02x}".format(addr))
        made[addr] = kind()
        made[addr].skip_ms(_PLUGGED_MS)
    return sorted(made.items())
