#!/usr/bin/env python3
"""Checks certificates of a Maildreieck agent, as agent/CERTIFICATE.md describes them.

usage: verify.py AGENT.PUB CERTIFICATE_OR_FOLDER...   (Debian: python3-cryptography)
"""
import base64, hashlib, json, pathlib, re, sys
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key


def decode(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def signed_octets(certificate):
    rest = {k: v for k, v in certificate.items() if k not in ("signature", "countersignature")}
    # RFC 8785: all keys are ASCII and all numbers whole, so sorted keys without blanks are canonical.
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return b"maildreieck-certificate/1\n" + text.encode()


def once(pairs):
    if len(pairs) != len(dict(pairs)):
        raise ValueError("a key stands twice")
    return dict(pairs)


pem = pathlib.Path(sys.argv[1]).read_bytes()
blocks = re.findall(rb"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----", pem, re.S)
keys = {k.public_bytes(Encoding.Raw, PublicFormat.Raw): k for k in map(load_pem_public_key, blocks)}
paths = [p for a in map(pathlib.Path, sys.argv[2:]) for p in (sorted(a.glob("*.json")) if a.is_dir() else [a])]
before = {}
for path in paths:
    certificate = json.loads(path.read_bytes(), object_pairs_hook=once)
    octets = signed_octets(certificate)
    keys[decode(certificate["signing_key"])].verify(decode(certificate["signature"]), octets)
    triangle, number = certificate["triangle"], certificate["sequence"]
    if triangle in before and before[triangle] != (number - 1, certificate.get("previous")):
        sys.exit(f"{path}: number {number} does not follow the one before it")
    before[triangle] = (number, hashlib.sha256(octets).hexdigest())
    print(f"{path}: {triangle} {number}, {certificate['tx_at']}: {certificate['verdict']}")
