import harness
from firmware.core import config


def good(**more):
    raw = {"thing_name": "greenhouse-1", "endpoint": "a-ats.iot.eu-west-1.amazonaws.com"}
    raw["wifi"] = [{"ssid": "home", "password": "12345678"}]
    raw.update(more)
    return raw


def problems(**more):
    made, wrong = config.check(good(**more))
    assert (made is None) == bool(wrong), wrong
    return wrong


def test_three_keys_are_enough_and_the_rest_has_defaults():
    made, wrong = config.check(good())
    harness.equal(wrong, [])
    harness.equal((made["port"], made["keepalive_s"], made["interval_s"]), (8883, 60, 60))
    harness.equal(made["i2c"], {"id": 0, "sda": 21, "scl": 22, "freq_hz": 100000})
    harness.equal((made["sensor"], made["ntp"]), ("auto", ["pool.ntp.org"]))
    harness.equal(made["command_topic"], "devices/{thing}/commands")
    harness.equal((made["offline_reboot_s"], made["drain_per_s"], made["window"]), (3600, 20, 8))


def test_the_result_shares_nothing_with_the_input_or_the_defaults():
    raw = good()
    first, second = config.check(raw)[0], config.check(raw)[0]
    first["ntp"].append("x")
    first["i2c"]["sda"] = 1
    first["wifi"][0]["ssid"] = "x"
    harness.equal(second["ntp"], ["pool.ntp.org"])
    harness.equal((second["i2c"]["sda"], raw["wifi"][0]["ssid"]), (21, "home"))
    harness.equal(config.check(good())[0]["i2c"]["sda"], 21)


def test_every_problem_comes_at_once_by_key():
    made, wrong = config.check({"endpoint": "", "wifi": [{"ssid": ""}, 3], "prot": 1, "port": 0})
    harness.equal(made, None)
    harness.equal(
        wrong,
        [
            "thing_name: is missing",
            "endpoint: must be text of 1 to 253 characters",
            "port: must be a whole number from 1 to 65535",
            "wifi[0].ssid: must be text of 1 to 32 bytes",
            "wifi[1]: must be an object",
            'prot: unknown key, did you mean "port"?',
        ],
    )


def test_no_value_shows_in_a_problem():
    secret = "s3cr3t!"
    wrong = problems(
        wifi=[{"ssid": "home", "password": secret, "pasword": secret}, secret, [secret]],
        thing_name=secret,
        endpoint=secret + "/",
        sensor=secret,
        telemetry_topic=secret + "#",
        ntp=[secret + "/"],
        i2c=secret,
    )
    harness.equal(len(wrong), 10)
    assert secret not in " ".join(wrong), wrong


def test_the_top_must_be_an_object():
    for raw in (None, 3, 1.5, True, "text", [], [good()]):
        harness.equal(config.check(raw), (None, ["top level: must be an object"]))


def test_wrong_types_everywhere_are_problems_not_crashes():
    for key in config.check(good())[0]:
        for value in (None, True, 1.5, -1, "", "\ud800", [], {}, [[]], [None], {"a": []}, 1 << 70):
            if (key, value) != ("i2c", {}):
                wrong = problems(**{key: value})
                assert wrong and wrong[0].startswith(key), (key, value, wrong)


def test_passwords():
    for password in ("", "12345678", "x" * 63, "0aF" * 21 + "b", "ü" * 31):
        harness.equal(problems(wifi=[{"ssid": "a", "password": password}]), [])
    for password in ("1234567", "x" * 64, "x" * 65, "ü" * 32, None, 12345678, "\ud800" * 9):
        wrong = problems(wifi=[{"ssid": "a", "password": password}])
        assert wrong[0].startswith("wifi[0].password: must be 8 to 63"), password
    harness.equal(problems(wifi=[{"ssid": "open"}]), [])


def test_networks():
    network = {"ssid": "ü" * 16}
    harness.equal(problems(wifi=[network] * 8), [])
    harness.equal(problems(wifi=[network] * 9), ["wifi: must be a list of 1 to 8"])
    harness.equal(problems(wifi=[]), ["wifi: must be a list of 1 to 8"])
    assert problems(wifi=[{"ssid": "ü" * 17}])


def test_hosts():
    for host in ("localhost", "10.0.0.1", "::1", "fe80::1:2", "a.b-c.d_e", "x" * 63 + ".io"):
        harness.equal(problems(endpoint=host), [])
    for host in (
        "http://a.io",
        "a.io:8883",
        "a.io/",
        "a..b",
        ".a",
        "a.",
        "-a.io",
        "a-.io",
        "a b",
        "256.1.1.1",
        "1.2.3",
        "12345",
        "[::1]",
        "::g",
        "ü.io",
        "x" * 64 + ".io",
    ):
        assert problems(endpoint=host), host
    harness.equal(problems(ntp=["a.io", "1.1.1.1"]), [])
    harness.equal(len(problems(ntp=["a.io", "b c", 3])), 2)


def test_an_offline_reboot_may_be_switched_off():
    for value in (0, 10, 604800):
        harness.equal(problems(offline_reboot_s=value), [])
    for value in (-1, 1, 9, 604801, False, None):
        assert problems(offline_reboot_s=value), value


def test_garbage_without_end_gives_few_complaints():
    many = good()
    many.update({str(i): i for i in range(30)})
    harness.equal(len(config.check(many)[1]), 21)
    many.update({str(i): i for i in range(40)})
    harness.equal(config.check(many)[1], ["top level: has far too many keys"])
    harness.equal(problems(**{"x" * 99 + "\n": 1}), ["x" * 40 + ": unknown key"])
    harness.equal(problems(**{"\n\x1b[2J": 1}), ["??[2J: unknown key"])


harness.run(globals())
