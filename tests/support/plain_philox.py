"""Philox4x64-10 from its paper (Salmon et al. 2011, §3.3), in plain Python: the second opinion."""

import hashlib

_M0, _M1 = 0xD2E7470EE14C6C93, 0xCA5A826395121157
_W0, _W1 = 0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B
_64 = 2**64


def block(counter: int, key: int) -> list[int]:
    """The four words of one 256-bit counter under a 128-bit key."""
    x = [(counter >> 64 * i) % _64 for i in range(4)]
    k0, k1 = key % _64, key >> 64
    for _ in range(10):
        high0, low0 = divmod(_M0 * x[0], _64)
        high1, low1 = divmod(_M1 * x[2], _64)
        x = [high1 ^ x[1] ^ k0, low1, high0 ^ x[3] ^ k1, low0]
        k0, k1 = (k0 + _W0) % _64, (k1 + _W1) % _64
    return x


def word(purpose: str, seed: int, parameter: str, index: int) -> int:
    """Word `index` of a stream, as docs/explanation/method.md defines it."""
    key = hashlib.sha256(f"sift/1/{purpose}/{seed}/{parameter}".encode()).digest()[:16]
    return block(index // 4 + 1, int.from_bytes(key, "little"))[index % 4]
