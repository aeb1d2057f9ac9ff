"""The judging half of a guard, after docs/guard-protocol.md, with PyJWT for the signatures.

What is missing for a whole guard is the connection: ask for the feed with a token of one's own, hand each line to `Feed.take`,
and judge nothing while `Feed` has not been fresh for 30 seconds.
"""
import base64
import hashlib
import json
import math
import struct

import jwt

KINDS = {"sub": 1, "sid": 2, "kept": 3, "client": 4}
SKEW_MS = 60_000


def half_sip_hash(key: bytes, message: bytes) -> bytes:
    """HalfSipHash-1-3 with 64 bits of output."""
    k0, k1 = struct.unpack("<II", key)
    v = [k0, k1 ^ 0xEE, k0 ^ 0x6C796765, k1 ^ 0x74656462]

    def turn(x: int, by: int) -> int:
        return (x << by | x >> (32 - by)) & 0xFFFFFFFF

    def mix(a: int, b: int, by: int) -> None:
        v[a] = (v[a] + v[b]) & 0xFFFFFFFF
        v[b] = turn(v[b], by) ^ v[a]

    def rounds(count: int) -> None:
        for _ in range(count):
            mix(0, 1, 5)
            v[0] = turn(v[0], 16)
            mix(2, 3, 8)
            mix(0, 3, 7)
            mix(2, 1, 13)
            v[2] = turn(v[2], 16)

    padded = message + bytes(3 - len(message) % 4) + bytes([len(message) & 0xFF])
    for (word,) in struct.iter_unpack("<I", padded):
        v[3] ^= word
        rounds(1)
        v[0] ^= word
    v[2] ^= 0xEE
    rounds(3)
    first = v[1] ^ v[3]
    v[1] ^= 0xDD
    rounds(3)
    return struct.pack("<II", first, v[1] ^ v[3])


class Watermarks:
    """The latest watermark (ms) and the latest `until` (s) by hash."""

    def __init__(self, key: bytes):
        self.key = key
        self.table: dict[bytes, tuple[int, int]] = {}

    def entry(self, kind: str, name: str, watermark_ms: int, until: int) -> bytes:
        return (self._hash(kind, name) + bytes([KINDS[kind], 0]) + watermark_ms.to_bytes(6, "big") + until.to_bytes(4, "big"))

    def apply(self, entries: bytes, now_ms: float) -> None:
        for at in range(0, len(entries), 20):
            name, kind = entries[at : at + 8], entries[at + 8]
            watermark_ms, until = int.from_bytes(entries[at + 10 : at + 16], "big"), int.from_bytes(entries[at + 16 : at + 20], "big")
            if kind in KINDS.values() and until >= now_ms / 1000:
                was = self.table.get(name, (0, 0))
                self.table[name] = (max(was[0], watermark_ms), max(was[1], until))

    def check(self, claims: dict, now_ms: float) -> str:
        """Of a token of the feed's issuer whose signature, audience and end have been verified: ok, revoked or step-up."""
        sub, sid, iat, auth_time = (claims.get(name) for name in ("sub", "sid", "iat", "auth_time"))
        if not _is_time(iat) or ("auth_time" in claims and not _is_time(auth_time)):
            return "revoked"
        if any(name in claims and not _is_name(claims[name]) for name in ("sub", "sid")) or not (sub or sid):
            return "revoked"
        issued, began = math.floor(iat), None if auth_time is None else math.floor(auth_time)
        if any(at is not None and at * 1000 > now_ms + SKEW_MS for at in (issued, began)):
            return "revoked"
        verdict = "ok"
        watermark = self._find("sub", sub) if sub else 0
        if watermark:
            second, kept = watermark // 1000, sid is not None and self._find("kept", sid) == watermark
            if issued < second or (issued == second and not kept):
                return "revoked"
            if began is not None and (began < second or (began == second and not kept)):
                verdict = "step-up"
        ended = self._find("sid", sid) if sid else 0
        if ended and (began is None or began <= ended // 1000):
            return "revoked"
        client = claims.get("azp", claims.get("client_id"))
        ended = self._find("client", client) if _is_name(client) else 0
        if ended and issued <= ended // 1000:
            return "revoked"
        return verdict

    def _hash(self, kind: str, name: str) -> bytes:
        return half_sip_hash(self.key, name.encode() + bytes([KINDS[kind]]))

    def _find(self, kind: str, name: str) -> int:
        return self.table.get(self._hash(kind, name), (0, 0))[0]


class Feed:
    """What is taken in of a feed, line by line."""

    def __init__(self, issuer: str, client_id: str, jwks: dict, nonce: str):
        self.issuer, self.client_id, self.nonce = issuer, client_id, nonce
        self.keys = {key["kid"]: key for key in jwks["keys"]}
        self.cursor = 0
        self.fresh = False
        self.watermarks: Watermarks | None = None

    def take(self, line: str) -> None:
        """Raises ValueError for whatever is not the next batch of this feed: then close the connection and ask again."""
        batch = json.loads(line)
        claims = json.loads(self._verified(batch["jws"]))
        entries = base64.b64decode(batch["entries"], validate=True)
        after, seq, head, at_ms = (claims[name] for name in ("after", "seq", "head", "at_ms"))
        if (claims["iss"], claims["aud"]) != (self.issuer, self.client_id):
            raise ValueError("of another realm or client")
        if len(entries) % 20 or _base64url(hashlib.sha256(entries).digest()) != claims["entries_sha256"]:
            raise ValueError("other entries than were signed")
        if not (after <= seq <= head and after == self.cursor):
            raise ValueError("it does not follow on the one before")
        if self.watermarks is None:
            if claims.get("nonce") != self.nonce or "hash_key" not in claims:
                raise ValueError("a replay")
            self.watermarks = Watermarks(_bytes(claims["hash_key"]))
        self.watermarks.apply(entries, at_ms)
        self.cursor = seq
        self.fresh = self.fresh or seq == head

    def _verified(self, jws: str) -> bytes:
        try:
            head = jwt.get_unverified_header(jws)
            if head.get("typ") != "guard-feed+jwt" or head.get("kid") not in self.keys:
                raise ValueError("not signed as a feed is")
            # What it claims is judged in `take`: a batch has no end of its own.
            key = jwt.PyJWK(self.keys[head["kid"]], "ES256").key
            return jwt.PyJWS().decode_complete(jws, key, algorithms=["ES256"])["payload"]
        except jwt.PyJWTError as error:
            raise ValueError("not signed by the relay") from error


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _is_time(value) -> bool:
    return type(value) in (int, float) and 0 <= value <= 0xFFFFFFFF


def _is_name(value) -> bool:
    return isinstance(value, str) and 1 <= len(value.encode("utf-16-le")) // 2 <= 255
