"""What the firmware finds under `machine`, `network`, `time`, … on a virtual board."""

from __future__ import annotations

import re
import select
import socket
import time

import pytest

from tests.host.sim_device import Workbench

WIDTHS = [64, 32]


@pytest.mark.parametrize("epoch", [1970, 2000])
def test_clock_boots_in_2000_until_it_is_set(bench: Workbench, epoch: int) -> None:
    board = bench.board(
        """
        import machine, ntptime, time
        print("epoch", time.gmtime(0)[0], "boot", time.gmtime()[:3], time.time() < 1000000000)
        ntptime.settime()
        print("set", time.time(), machine.RTC().datetime()[:3], time.mktime(time.gmtime(123)))
        machine.RTC().datetime((2031, 2, 3, 0, 4, 5, 6, 0))
        print("rtc", time.localtime()[:6])
        """,
        epoch=epoch,
    )
    boot = board.wait_for(r"epoch (\d+) boot \((.*?)\)")
    assert boot.groups() == (str(epoch), "2000, 1, 1")
    now = board.wait_for(r"set (\d+) \((\d+), .* 123$")
    unix_s = int(now[1]) + (946684800 if epoch == 2000 else 0)
    assert abs(unix_s - time.time()) < 5
    assert int(now[2]) == time.gmtime().tm_year
    board.wait_for(r"rtc \(2031, 2, 3, 4, 5, 6\)")


def test_an_rtc_never_starts_before_2000(bench: Workbench) -> None:
    # The moment at which it is first looked at is the one at which it begins.
    board = bench.board(
        """
        import _sim, utime
        real = _sim.host_ms_sim

        def slow():
            found = real()
            utime.sleep_ms(5)
            return found

        _sim.host_ms_sim = slow
        import time
        print("year", time.gmtime()[0])
        """
    )
    board.wait_for("year 2000")


@pytest.mark.parametrize("bits", WIDTHS)
def test_ticks_wrap_at_2_to_the_30(bench: Workbench, bits: int) -> None:
    board = bench.board(
        """
        import time
        a = time.ticks_ms()
        while time.ticks_ms() >= a:
            time.sleep_ms(1)
        b = time.ticks_ms()
        print("wrapped", a > 1 << 29, b < 1000, 0 < time.ticks_diff(b, a) < 2000)
        top = (1 << 30) - 1
        print("add", time.ticks_add(top, 2), time.ticks_add(1, -3) == top - 1)
        print("diff", *[time.ticks_diff(*p) for p in ((1, top), (top, 1), (0, 1 << 29))])
        """,
        bits=bits,
        ticks_start=(1 << 30) - 200,
    )
    board.wait_for("wrapped True True True")
    board.wait_for("add 1 True")
    board.wait_for(r"diff 2 -2 -536870912")


def test_ticks_start_at_zero(bench: Workbench) -> None:
    board = bench.board('import time\nprint("ticks", time.ticks_ms(), time.ticks_us())')
    ms, us = board.wait_for(r"ticks (\d+) (\d+)").groups()
    assert int(ms) < 500
    assert int(us) < 500_000


@pytest.mark.parametrize("bits", WIDTHS)
def test_each_reset_comes_back_with_its_cause(bench: Workbench, bits: int) -> None:
    board = bench.board(
        """
        import machine, time
        rtc = machine.RTC()
        n = len(rtc.memory())
        print("life", n, machine.reset_cause(), time.time() >= 1000)
        rtc.memory(rtc.memory() + b"\\xff")
        if n == 0:
            rtc.datetime((2000, 1, 1, 0, 1, 0, 0, 0))
            machine.reset()
        if n == 1:
            machine.soft_reset()
        if n == 2:
            machine.deepsleep(50)
        if n == 3:
            raise SystemExit
        if n == 4:
            machine.WDT(timeout=100)
            while True:
                pass
        """,
        bits=bits,
    )
    causes = ((0, 1, False), (1, 2, True), (2, 5, True), (3, 4, True), (4, 5, True), (5, 3, True))
    for life, cause, kept in causes:
        board.wait_for(f"^life {life} {cause} {kept}$")
    board.wait_for("board: main.py has ended")
    resets = [line for line in board.log if line.startswith("board: reset")]
    assert resets == [
        "board: reset (machine.reset)",
        "board: reset (soft reset)",
        "board: reset (deep sleep)",
        "board: reset (soft reset)",
        "board: reset (watchdog)",
    ]


def test_power_cut_forgets_rtc_and_cause(bench: Workbench) -> None:
    board = bench.board(
        """
        import machine, time
        print("cause", machine.reset_cause(), machine.RTC().memory(), time.gmtime()[0])
        machine.RTC().memory(b"kept")
        machine.RTC().datetime((2030, 1, 1, 0, 0, 0, 0, 0))
        time.sleep(60)
        """
    )
    board.wait_for("cause 1 b'' 2000")
    board.kill()
    assert not board.running
    assert board.pid is None
    seen = len(board.log)
    board.start()
    board.wait_for("cause 1 b'' 2000", after=seen)


def test_errors_in_boot_and_main_are_printed_and_end_at_the_repl(bench: Workbench) -> None:
    board = bench.board("print('main ran')", boot="raise ValueError('broken boot')")
    board.wait_for("ValueError: broken boot")
    board.wait_for("main.py has ended")
    assert "main ran" not in board.log
    board = bench.board("def f():\n    return 1 // 0\nf()")
    board.wait_for("ZeroDivisionError")
    assert board.running


def test_i2c_speaks_to_the_chips(bench: Workbench) -> None:
    board = bench.board(
        """
        import time
        from machine import I2C, Pin, SoftI2C
        hard = I2C(0, scl=Pin(22), sda=Pin(21), freq=100000)
        for bus in (hard, SoftI2C(scl=Pin(5), sda=Pin(4))):
            print("scan", bus.scan(), bus.readfrom_mem(0x76, 0xD0, 1))
            buf = bytearray(1)
            bus.readfrom_mem_into(0x76, 0xD0, buf)
            print("into", buf, bus.writeto(0x76, b"\\xd0"), bus.readfrom(0x76, 1))
            bus.writeto_mem(0x76, 0xF4, b"\\x25")
            reg = bus.readfrom_mem(0x76, 0xF4, 1)[0] & 0xFC
            print("mem", reg)
            try:
                bus.readfrom(0x44, 2)
            except OSError as e:
                print("absent", e.errno)
        try:
            I2C(7)
        except ValueError:
            print("no such bus")
        """,
        sensor="bme280@0x76,mcp9808@0x18",
    )
    board.wait_for("no such bus")
    assert board.log.count("scan [24, 118] b'`'") == 2
    assert board.log.count("into bytearray(b'`') 1 b'`'") == 2
    assert board.log.count("mem 36") == 2
    assert board.log.count("absent 19") == 2


def test_sensor_is_unplugged_and_plugged_in_while_it_runs(bench: Workbench) -> None:
    board = bench.board(
        """
        import time
        from machine import I2C, Pin
        bus = I2C(0, scl=Pin(22), sda=Pin(21))
        while True:
            print("scan", bus.scan())
            time.sleep_ms(50)
        """
    )
    board.wait_for(r"scan \[118\]")
    board.set(sensor="none")
    board.wait_for(r"scan \[\]")
    board.set(sensor="sht3x@0x45,bmp280@0x77")
    board.wait_for(r"scan \[69, 119\]")
    board.set(i2c_error="nack")
    board.wait_for(r"scan \[\]", after=len(board.log))


STUCK = """
    import time
    from machine import I2C, Pin
    bus = I2C(0, scl=Pin(22), sda=Pin(21))
    while bus.scan():
        time.sleep_ms(10)
    try:
        bus.readfrom(0x76, 1)
    except OSError as e:
        print("stuck", e.errno)
    sda = Pin(21, Pin.OPEN_DRAIN, value=1)
    scl = Pin(22, Pin.OPEN_DRAIN, value=1)
    clocks = 0
    while not sda.value() and clocks < 20:
        scl.value(0)
        scl.value(1)
        clocks += 1
    print("clocks", clocks, "before", bus.scan())
    bus = I2C(0, scl=Pin(22), sda=Pin(21))
    print("after", bus.scan())
    """


def test_stuck_slave_lets_go_after_nine_clocks(bench: Workbench) -> None:
    # A pin taken away from the I2C block stays away until I2C() is made anew, as on the chip.
    board = bench.board(STUCK, i2c_stuck=True)
    assert board.wait_for(r"stuck (\d+)")[1] == "110"
    board.wait_for(r"clocks 9 before \[\]")
    board.wait_for(r"after \[118\]")


def test_temperature_follows_its_expression(bench: Workbench) -> None:
    board = bench.board(
        """
        import time
        import _bus
        while True:
            air = _bus.on_bus_sim()[0x76].environment_sim
            print("mdeg", air.temperature_mdeg_sim(), air.pressure_pa_sim(), air.co2_ppm_sim())
            time.sleep_ms(50)
        """,
        temperature="10 + 5*floor(t/1000)",
        pressure=900,
        co2="1200 + t*0",
    )
    board.wait_for("mdeg 10000 90000 1200")
    board.set(temperature=-3.5, co2=415.7)
    board.wait_for("mdeg -3500 90000 415")
    board.set(co2=None)
    board.wait_for("mdeg -3500 90000 6[0-9][0-9]")


def test_wlan_joins_loses_and_finds_the_network(bench: Workbench) -> None:
    board = bench.board(
        """
        import network, time
        w = network.WLAN(network.STA_IF)
        print("idle", w.status() == network.STAT_IDLE, w.active(), w.isconnected())
        w.active(True)
        print("scan", [(a[0], a[3], len(a)) for a in w.scan()])
        w.connect("barn", "wrong")
        said = None
        while True:
            if w.status() != said:
                said = w.status()
                up = w.isconnected()
                print("status", said, w.ifconfig()[0], w.status("rssi") if up else "-")
                if said == network.STAT_WRONG_PASSWORD:
                    w.disconnect()
                    w.connect("barn", "right")
            time.sleep_ms(10)
        """,
        wifi={
            "rssi": -50,
            "networks": [
                {"ssid": "far", "rssi": -80},
                {"ssid": "barn", "password": "right", "rssi": -61},
            ],
        },
    )
    board.wait_for("idle True False False")
    board.wait_for(r"scan \[\(b'barn', -61, 6\), \(b'far', -80, 6\)\]")
    board.wait_for("status 1001 0.0.0.0 -")
    board.wait_for("status 202 0.0.0.0 -")
    board.wait_for("status 1010 192.168.4.2 -61")
    seen = len(board.log)
    board.set(wifi={"up": False})
    board.wait_for("status 20[01] 0.0.0.0 -", after=seen)
    board.set(wifi=None)
    board.wait_for("status 1010 192.168.4.2 -58", after=seen)


def test_the_rest_of_the_chip(bench: Workbench) -> None:
    board = bench.board(
        """
        import esp32, machine, network
        print("id", machine.unique_id(), network.WLAN(0).config("mac"))
        print("same", machine.Pin(4) is machine.Pin(4), machine.RTC() is machine.RTC())
        for call, bad in ((machine.WDT, 1), (machine.I2C, 7), (machine.Pin, 99)):
            try:
                call(bad)
            except ValueError as e:
                print("refused", e)
        """,
        unique_id="0a0b0c0d0e0f",
    )
    board.wait_for(r"id b'\\n\\x0b\\x0c\\r\\x0e\\x0f' b'\\n\\x0b\\x0c\\r\\x0e\\x0f'")
    board.wait_for("same True True")
    board.wait_for("main.py has ended")
    assert sum(bool(re.match("refused", line)) for line in board.log) == 3


@pytest.mark.parametrize("time_scale", [1, 10])
def test_a_connect_need_not_block(bench: Workbench, time_scale: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        board = bench.board(
            f"""
            import errno, select, socket
            for port in ({listener.getsockname()[1]}, 1):
                sock = socket.socket()
                sock.setblocking(False)
                poll = select.poll()
                poll.register(sock, select.POLLOUT)
                try:
                    sock.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
                except OSError as e:
                    print("begun", e.errno == errno.EINPROGRESS)
                print("event", port, poll.poll(5000)[0][1])
                try:
                    print("sent", sock.send(b"x"))
                except OSError as e:
                    print("failed", e.errno)
            """,
            time_scale=time_scale,
        )
        board.wait_for("begun True")
        board.wait_for(rf"event \d+ {select.POLLOUT}$")
        board.wait_for("sent 1")
        board.wait_for(r"event 1 \d+")
        board.wait_for("failed 111")


def test_the_heap_of_esp_idf_shrinks_with_what_uses_it(bench: Workbench) -> None:
    # Those of a WROOM-32 whose Python heap has not grown (shared/memory-facts.md 6).
    with socket.create_server(("127.0.0.1", 0)) as listener:
        board = bench.board(
            f"""
            import esp32, gc, network, socket, time

            def say(what):
                found = esp32.idf_heap_info(esp32.HEAP_DATA)
                sizes = [sum(r[1] for r in found), max(r[2] for r in found), found[-1][3]]
                print(what, *sizes, gc.mem_free() - sizes[1] < 56000 * 2)

            wlan = network.WLAN(network.STA_IF)
            say("boot")
            wlan.active(True)
            say("active")
            wlan.connect("barn", "x")
            while not wlan.isconnected():
                time.sleep_ms(10)
            say("joined")
            sock = socket.socket()
            sock.connect(socket.getaddrinfo("127.0.0.1", {listener.getsockname()[1]})[0][-1])
            say("connected")
            sock.close()
            say("closed")
            """
        )
        board.wait_for("boot 142628 110592 137188 True")
        board.wait_for("active 100400 94200")
        board.wait_for("joined 92000 86800")
        board.wait_for("connected 66176 59392 27736 True")
        board.wait_for("closed 92000 86800 27736")


def test_only_what_a_board_has_is_importable(bench: Workbench) -> None:
    board = bench.board(
        """
        for name in ("chips", "board", "cloud", "cli", "launch"):
            try:
                __import__(name)
                print("importable", name)
            except ImportError:
                print("no", name)
        """
    )
    board.wait_for("main.py has ended")
    # `chips` has been imported by the simulated hardware itself; it is not on the path.
    assert [x for x in board.log if x.startswith("importable")] in ([], ["importable chips"])
