# `ntptime` as micropython-lib has it, over the servers of the setting "ntp" (socket.py).

import socket

import _sim

host = "pool.ntp.org"
timeout = 1
_QUESTION = b"\x1b" + bytes(47)
_S1900 = 3155673600 if _sim.get("epoch", 2000) == 2000 else 2208988800


def time():
    address = socket.getaddrinfo(host, 123)[0][-1]
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        udp.settimeout(timeout)
        udp.sendto(_QUESTION, address)
        answer, _ = udp.recvfrom(48)
    finally:
        udp.close()
    return int.from_bytes(answer[40:44], "big") - _S1900


def settime():
    import machine
    import time as board_time

    tm = board_time.gmtime(time())
    machine.RTC().datetime((tm[0], tm[1], tm[2], tm[6] + 1, tm[3], tm[4], tm[5], 0))
