# heap: 128wk
# Choosing the chips of the virtual board by text.

import harness
from tools.sim.chips import make


def test_make_reads_the_command_line_form():
    harness.equal([at for at, _ in make("bme280")], [0x76])
    harness.equal([at for at, _ in make("bmp280@0x77, sht3x,mcp9808@0x1f")], [0x1F, 0x44, 0x77])
    harness.equal(
        [at for at, _ in make("tmp117,lm75@0x4f,hdc1080,tmp102@0x49")], [0x40, 0x48, 0x49, 0x4F]
    )
    harness.equal([at for at, _ in make("scd40,bme280")], [0x62, 0x76])
    harness.equal(make("none"), [])
    for bad in ("dht22", "bme280@0x40", "sht3x,sht3x", "bme280@0xzz"):
        harness.raises(ValueError, make, bad)
