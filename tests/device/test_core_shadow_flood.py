# heap: 72wk
# Names without end, desired or found in reported.

import harness
from shadow_setup import BAD, connect, in_step, settle


def test_a_flood_of_unknown_keys_is_bounded_and_hides_nothing():
    board, service = in_step()
    desired = {str(i) + "k" * 40: i for i in range(10)}
    desired.update({"interval_s": 30, "drain_per_s": 0, "\x1b[2J\n": 1})
    service.desire(desired)
    settle(board, service)
    harness.equal(service.reported["interval_s"], 30)
    rejected = service.reported["rejected"]
    assert len(rejected) == 5 and rejected["..."] == "unknown setting", rejected
    harness.equal(rejected["drain_per_s"], BAD)
    for key in rejected:
        assert len(key) <= 40 and all(32 < ord(c) < 127 for c in key), key
    harness.equal(len(service.updates), 1)


def test_a_long_reason_is_cut():
    board, service = in_step()
    board.settings.refuse = lambda key: "because " * 50
    service.desire({"sensor": "sht3x"})
    settle(board, service)
    harness.equal(service.reported["rejected"], {"sensor": ("because " * 50)[:96]})


def test_other_rejections_in_the_cloud_are_swept_out():
    for count in (3, 38, 39, 40, 100):
        for desired in ({"interval_s": 0}, {}):
            board, service = in_step()
            service.tamper({"rejected": {"old" + str(i): 1 for i in range(count)}})
            service.desire(desired)
            connect(board, service)
            wanted = {"interval_s": BAD} if desired else {}
            harness.equal(service.reported.get("rejected", {}), wanted)
            for update in service.updates:
                assert len(update["state"]["reported"]["rejected"] or ()) <= 40


harness.run(globals())
