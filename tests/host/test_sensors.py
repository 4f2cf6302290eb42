"""The table of sensors: that it fits the firmware, the datasheets and docs/sensors.md."""

from __future__ import annotations

import re

import pytest

from firmware.core import schema
from tools.dev import sensor_page
from tools.errors import ToolError
from tools.things import boards, sensors
from tools.toolchain import ROOT

TABLE = sensors.table()
QUANTITIES = {"temperature", "humidity", "pressure", "CO2"}


def test_every_sensor_of_the_firmware_is_in_the_table() -> None:
    assert set(schema.SENSORS.split()) - set(TABLE) == set()


def test_the_table_has_no_other() -> None:
    assert set(TABLE) == set(schema.SENSORS.split())


@pytest.mark.parametrize("file", sorted({file for file, _ in boards.chips().values()}))
def test_addresses_are_those_the_driver_is_looked_for_at(file: str) -> None:
    rows = {chip: places for chip, (name, places) in boards.chips().items() if name == file}
    ours = {int(at, 16) for chip in rows for at in TABLE[chip].addresses}
    assert ours == {place for places in rows.values() for place in places}


@pytest.mark.parametrize("chip", sorted(set(TABLE) & set(schema.SENSORS.split())))
def test_the_driver_waits_as_long_as_the_table_says(chip: str) -> None:
    code = (ROOT / boards.drivers()[chip]).read_text("utf-8")
    waits = [int(ms) for ms in re.findall(r"\bMEASURE_MS = (?:const\()?(\d+)", code)]
    turns = 1 + ("return True" in code)  # of finish(), each so long
    assert TABLE[chip].ms <= TABLE[chip].max_ms <= max(waits) * turns


@pytest.mark.parametrize("sensor", TABLE.values(), ids=TABLE)
def test_every_row_is_complete(sensor: sensors.Sensor) -> None:
    measures = sensor.measures.split(", ")
    assert set(measures) <= QUANTITIES
    assert "temperature" in measures
    # A range, an accuracy and a resolution of each.
    for text in (sensor.range, sensor.resolution):
        assert len(re.sub(r"\(.*?\)", "", text).split(", ")) == len(measures), text
    for unit, quantity in (("°C", "temperature"), ("%RH", "humidity"), ("Pa", "pressure")):
        for text in (sensor.range, sensor.accuracy, sensor.resolution):
            assert (unit in text) == (quantity in measures), text
    assert all(re.fullmatch(r"0x[0-7][0-9a-f]", at) for at in sensor.addresses)
    assert sensor.charge_uc > 0 and sensor.idle_ua > 0
    low, high = re.findall(r"([\d.]+) to ([\d.]+) V", sensor.supply)[0]
    assert float(low) <= 3.3 <= float(high)
    assert len(sensor.sheet) > 10


# What a datasheet gives as the mean at one reading a second is the charge of a reading and what
# the chip takes while idle: BME280 1.2, BMP280 1, SHT4x 3.1, TMP117 6.5 (mean of eight).
@pytest.mark.parametrize(
    ("chip", "ua"), [("bme280", 3.6), ("bmp280", 2.74), ("sht4x", 2.2), ("tmp117", 16)]
)
def test_the_charge_of_a_reading_is_what_the_datasheets_mean_says(chip: str, ua: float) -> None:
    sensor = TABLE[chip]
    assert sensor.charge_uc + sensor.idle_ua == pytest.approx(ua, rel=0.07)


def test_an_unknown_one_is_answered_with_the_nearest() -> None:
    with pytest.raises(ToolError) as refused:
        sensors.get("SHT4")
    assert refused.value.hint == "--sensor sht4x"
    assert "there are bme280" in refused.value.message
    with pytest.raises(ToolError) as refused:
        sensors.get("x")
    assert refused.value.hint == ""


def test_the_page_has_the_table() -> None:
    text = sensor_page.PAGE.read_text("utf-8")
    assert sensor_page.page(text) == text, "python -m tools reference"
    for chip in TABLE:
        assert text.partition(sensor_page.END)[0].count(f"| `{chip}` |") == 3


def test_a_page_without_its_marks_is_not_written() -> None:
    for broken in ("", sensor_page.BEGIN, sensor_page.END + sensor_page.BEGIN):
        with pytest.raises(ToolError, match="has lost its marks"):
            sensor_page.page(broken)


def test_the_advice_names_sensors_of_the_table() -> None:
    section = sensor_page.PAGE.read_text("utf-8").split("## Which one")[1].split("\n## ")[0]
    named = {name.lower() for name in re.findall(r"\b[A-Z][A-Za-z]{1,3}\d+[A-Za-z]*\b", section)}
    assert named - {"sht85", "co2", "scd4x"} <= set(TABLE)
    # Each is advised, for something.
    assert set(TABLE) - named <= {"bmp280", "aht10", "scd40", "scd41", "scd43"}
