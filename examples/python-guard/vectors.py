"""Runs guard/vectors: .cache/venv/bin/python examples/python-guard/vectors.py. The last line says how many; status 1 if one does not hold."""
import json
import sys
from pathlib import Path

from guard import Feed, Watermarks

VECTORS = Path(__file__).resolve().parents[2] / "guard" / "vectors"
wrong = []
count = 0


def holds(title: str, is_so: bool) -> None:
    global count
    count += 1
    if not is_so:
        wrong.append(title)


def read(name: str) -> dict:
    return json.loads((VECTORS / name).read_text(encoding="utf-8"))


check = read("check.json")
known = Watermarks(bytes(8))
for each in check["watermarks"]:
    known.apply(known.entry(each["kind"], each["name"], each["watermark_ms"], each["until"]), 0)
for vector in check["vectors"]:
    holds(vector["title"], known.check(vector["claims"], vector["now_ms"]) == vector["expect"])
    mutated = known.check({**vector["claims"], **vector["mutation"]}, vector["now_ms"])
    holds(f"{vector['title']}, mutated", mutated != vector["expect"])

entries = read("entries.json")
of_key = Watermarks(bytes.fromhex(entries["key"]))
for vector in entries["vectors"]:
    made = of_key.entry(vector["kind"], vector["name"], vector["watermark_ms"], vector["until"])
    holds(f"entry of {vector['kind']} {vector['name']}", made.hex() == vector["entry"])

batches = read("batches.json")
for vector in batches["vectors"]:
    feed = Feed(batches["issuer"], batches["client_id"], batches["jwks"], vector["nonce"])
    accepted = 0
    try:
        for line in vector["lines"]:
            feed.take(line)
            accepted += 1
    except (ValueError, KeyError):
        pass
    size = 0 if feed.watermarks is None else len(feed.watermarks.table)
    seen = {"accepted": accepted, "cursor": feed.cursor, "size": size, "fresh": feed.fresh}
    holds(f"feed: {vector['title']}", seen == vector["expect"])

for title in wrong:
    print(f"WRONG: {title}")
print(f"{count - len(wrong)} of {count} hold")
sys.exit(1 if wrong or count == 0 else 0)
