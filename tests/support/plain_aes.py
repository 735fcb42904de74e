"""AES-128 from its standard (FIPS 197), in plain Python: the second opinion on digest words."""

import hashlib
from functools import cache
from itertools import chain


def _times_x(byte: int) -> int:
    return (byte << 1) ^ (0x11B if byte & 0x80 else 0)


def _product(one: int, other: int) -> int:
    """In the field of 256 elements (§4.2)."""
    result = 0
    while other:
        result ^= one if other & 1 else 0
        one, other = _times_x(one), other >> 1
    return result


@cache
def _substitute(byte: int) -> int:
    """The S-box (§5.1.1): the inverse, then an affine map."""
    inverse = next((other for other in range(256) if _product(byte, other) == 1), 0)
    turned = [(inverse << turn | inverse >> (8 - turn)) & 0xFF for turn in range(5)]
    result = 0x63
    for one in turned:
        result ^= one
    return result


@cache
def _round_keys(key: bytes) -> list[list[int]]:
    """Eleven keys of 16 bytes (§5.2)."""
    columns = [list(key[4 * column : 4 * column + 4]) for column in range(4)]
    constant = 1
    for number in range(4, 44):
        last = columns[number - 1]
        if number % 4 == 0:
            last = [_substitute(byte) for byte in last[1:] + last[:1]]
            last[0] ^= constant
            constant = _times_x(constant)
        columns.append([a ^ b for a, b in zip(columns[number - 4], last, strict=True)])
    return [list(chain(*columns[4 * at : 4 * at + 4])) for at in range(11)]


def _mixed(column: list[int]) -> list[int]:
    """One column times the matrix of MixColumns (§5.1.3)."""
    twice, thrice = [_times_x(byte) for byte in column], [_times_x(byte) ^ byte for byte in column]
    return [
        twice[at] ^ thrice[(at + 1) % 4] ^ column[(at + 2) % 4] ^ column[(at + 3) % 4]
        for at in range(4)
    ]


def block(plain: bytes, key: bytes) -> bytes:
    """One block of 16 bytes, encrypted."""
    keys = _round_keys(key)
    state = [a ^ b for a, b in zip(plain, keys[0], strict=True)]
    for number in range(1, 11):
        state = [_substitute(byte) for byte in state]
        state = [state[(at + 4 * (at % 4)) % 16] for at in range(16)]
        if number < 10:
            state = list(chain(*(_mixed(state[at : at + 4]) for at in range(0, 16, 4))))
        state = [a ^ b for a, b in zip(state, keys[number], strict=True)]
    return bytes(state)


def word(seed: int, parameter: str, index: int) -> int:
    """Digest word `index` of a parameter, as docs/explanation/method.md defines it."""
    key = hashlib.sha256(f"sift/2/digest/{seed}/{parameter}".encode()).digest()[:16]
    half = 8 * (index % 2)
    return int.from_bytes(block((index // 2).to_bytes(16, "big"), key)[half : half + 8], "little")
