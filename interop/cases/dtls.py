"""The DTLS machine by itself against other people's stacks: interop/dtls.sh, three groups at a time, because
its rows mostly wait."""

import os
import subprocess

from kit import HERE, ROOT, Failed

TRACKS = ["openssl_clients openssl_servers", "gnutls_clients gnutls_servers libcoap scandium", "mbedtls"]
VERSIONS = {"openssl": ["openssl", "version"], "gnutls": ["gnutls-cli", "--version"], "libcoap": ["coap-client-notls"]}
NAMES = {"openssl": "OpenSSL", "gnutls": "GnuTLS", "libcoap": "libcoap", "Scandium": "Scandium", "mbedtls": "Mbed TLS"}


def version(peer):
    if peer == "Scandium":
        return "3.14.0"
    try:
        done = subprocess.run(VERSIONS[peer], capture_output=True, text=True, timeout=10)
    except OSError:
        return ""
    words = (done.stdout + done.stderr).replace(",", " ").split()
    return next((word.lstrip("v") for word in words if word.lstrip("v")[:1].isdigit()), "")


def run(kit, table):
    subprocess.run(["cargo", "build", "--quiet", "--package", "dunlin-dtls", "--example", "echo"], cwd=ROOT, check=True)
    tracks = [
        subprocess.Popen(["timeout", "-k", "2", "260", HERE / "dtls.sh"], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, env={**os.environ, "GROUPS_WANTED": groups})
        for groups in TRACKS
    ]
    versions = {}
    for track, groups in zip(tracks, TRACKS):
        said, _ = track.communicate()
        rows = read(said, versions, table)
        if not rows:
            raise Failed(f"{groups}: no rows; it said {said[-300:]}")


def read(said, versions, table):
    """The rows of the script's table, which are lines of fixed columns; what is indented belongs to the row above."""
    rows = []
    for line in said.splitlines():
        result, peer, direction, what = (line[at:to].strip() for at, to in ((0, 8), (9, 31), (32, 44), (45, None)))
        if result in ("ok", "FAIL", "skipped"):
            rows.append([result, peer, direction, what, ""])
        elif rows and line.startswith("         "):
            rows[-1][4] += line.strip() + " "
    for result, peer, direction, what, remark in rows:
        first, *rest = peer.split()
        if first == "mbedtls":
            # Two versions of one peer: the script names them.
            versions[peer] = rest.pop() if rest else ""
        name = " ".join(["DTLS,", NAMES.get(first, first), *(f"({one})" for one in rest)])
        if result == "skipped":
            table.skip(name, what)
            continue
        known = peer if peer in versions else first
        if known not in versions:
            versions[known] = version(first)
        table.add(result, name, versions[known], direction, what, remark.strip()[:400])
    return rows
