# Names without end, wished for or found in reported.

import harness
from shadow_setup import BAD, in_step, settle


def test_a_flood_of_strange_keys_is_bounded_and_hides_nothing():
    shadow, service = in_step()
    wish = {str(i) + "k" * 40: i for i in range(10)}
    wish.update({"interval_s": 30, "\x1b[2J\n": 1})
    service.wish(wish)
    settle(shadow, service)
    harness.equal(service.reported["interval_s"], 30)
    rejected = service.reported["rejected"]
    assert len(rejected) == 9 and rejected["..."] == "and more", rejected
    for key in rejected:
        assert len(key) <= 40 and all(32 < ord(c) < 127 for c in key), key


def test_strange_rejections_in_the_cloud_are_swept_out():
    shadow, service = in_step()
    service.tamper({"rejected": {"old" + str(i): 1 for i in range(40)}})
    service.wish({"interval_s": 0})
    shadow.connected()
    settle(shadow, service)
    harness.equal(service.reported["rejected"], {"interval_s": BAD})


harness.run(globals())
