# Which of the readings handed out are acknowledged: everything below `low`, and some of the
# next WINDOW. Their bits lie in a ring, so that neither order nor number of acks costs memory.

WINDOW = 128


class Acks:
    def __init__(self, low):
        self.low = low  # the lowest seq not done with
        self.early = 0  # how many above it are acknowledged
        self._bits = bytearray(WINDOW // 8)

    def has(self, seq):
        if not self.low <= seq < self.low + WINDOW:
            return seq < self.low
        return bool(self._bits[seq >> 3 & 15] & 1 << (seq & 7))

    def add(self, seq):
        # False for one that is known already, or was never handed out.
        if self.has(seq) or seq >= self.low + WINDOW:
            return False
        self._bits[seq >> 3 & 15] |= 1 << (seq & 7)
        self.early += 1
        while self.early and self._take():
            pass
        return True

    def pass_to(self, seq):
        # Gives up on everything below seq; how many of those were not acknowledged.
        lost = 0
        while self.low < seq:
            if not self._take():
                self.low += 1
                lost += 1
        while self.early and self._take():
            pass
        return lost

    def _take(self):
        # Moves low up by one if that seq is acknowledged.
        mask = 1 << (self.low & 7)
        if not self._bits[self.low >> 3 & 15] & mask:
            return False
        self._bits[self.low >> 3 & 15] ^= mask
        self.early -= 1
        self.low += 1
        return True
