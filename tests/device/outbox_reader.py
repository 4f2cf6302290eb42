# Reads an outbox as app.py and net/session.py do.


def stored(outbox, seq):
    # The record of a reading, or None.
    frame = outbox.get(seq)
    if frame is None:
        return None
    at = outbox.at + 5
    return bytes(memoryview(frame)[at : at + frame[outbox.at]])


def unsent(outbox):
    # The record of the next reading that can be read, or None; its seq is outbox.read - 1. The
    # others count as sent, as they do for a session that has nothing to send.
    while outbox.next_unsent():
        record = stored(outbox, outbox.read - 1)
        if record is not None:
            return record
        outbox.ack(outbox.read - 1)
    return None
