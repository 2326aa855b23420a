"""The program `dunlin client` against the DTLS servers of OpenSSL and Scandium, which know nothing of CoAP: the few
messages of a Server that a registration needs are said here, behind them."""

import os
import queue
import socket
import subprocess
import threading

from cases.ours import Program
from cases.secured import KEY, certificates, openssl, options
from kit import HERE, Cases, Failed, free_port, want

SCANDIUM = "3.14.0"
CON, ACK = 0x40, 0x60
GET, POST, DELETE = 1, 2, 4
CREATED, DELETED, CONTENT = 0x41, 0x42, 0x45


class OpenSsl:
    """`openssl s_server`: what it prints was said to us, what it reads is said by us."""

    name = "OpenSSL s_server"

    def __init__(self, kit, folder, mode):
        self.port = free_port(socket.SOCK_DGRAM)
        proof = {
            "psk": ["-nocert", "-psk", KEY, "-cipher", "PSK-AES128-CCM8@SECLEVEL=0"],
            "x509": ["-cert", f"{folder}/server.pem", "-key", f"{folder}/server.key", "-CAfile", f"{folder}/ca.pem",
                     "-Verify", "1", "-verify_return_error", "-cipher", "ECDHE-ECDSA-AES128-CCM8@SECLEVEL=0"],
        }[mode]
        self.process = subprocess.Popen(
            ["timeout", "-k", "2", "60", "openssl", "s_server", "-dtls1_2", "-quiet", "-accept",
             f"127.0.0.1:{self.port}", *proof], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        kit.running.append(self)
        self.datagrams = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    @staticmethod
    def version():
        return subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.split()[1]

    def _listen(self):
        while datagram := os.read(self.process.stdout.fileno(), 65_536):
            self.datagrams.put(datagram)

    def hear(self):
        return self.datagrams.get(timeout=15)

    def say(self, datagram):
        self.process.stdin.write(datagram)
        self.process.stdin.flush()

    def end(self, patience=2):
        self.process.terminate()
        self.process.wait(patience + 3)


class Scandium:
    name = "Scandium"

    def __init__(self, kit, folder, mode):
        self.port = free_port(socket.SOCK_DGRAM)
        suite = f"TLS_{'PSK' if mode == 'psk' else 'ECDHE_ECDSA'}_WITH_AES_128_CCM_8"
        jars = kit.jars("scandium", HERE / "scandium/pom.xml", SCANDIUM, f"Scandium {SCANDIUM}")
        classes = kit.compiled(jars, HERE / "scandium/Peer.java")
        self.process = kit.start(["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", f"-Didentity=behind-{mode}", f"-Dkey={KEY}", "-cp", f"{jars}/*:{classes}", "Peer", "relay",
                                  self.port, suite, mode, folder, "cid"], life=60)
        self.process.wait("^listening", within=20)
        self.mark = 0

    @staticmethod
    def version():
        return SCANDIUM

    def hear(self):
        said = self.process.wait("^heard ", self.mark)
        self.mark = self.process.lines.index(said, self.mark) + 1
        return bytes.fromhex(said.split()[1])

    def say(self, datagram):
        self.process.say(datagram.hex())

    def end(self, patience=2):
        self.process.end(patience)


def parts(datagram):
    """Type, code, Message ID, token, and the rest."""
    token = datagram[0] & 15
    return datagram[0] & 0x30 | 0x40, datagram[1], datagram[2:4], datagram[4:4 + token], datagram[4 + token:]


def answer(request, code, rest=b""):
    _, _, number, token, _ = parts(request)
    return bytes([ACK | len(token), code]) + number + token + rest


def hear_request(server, code):
    """The next message that is this request; whatever else comes, such as a repetition, is passed over."""
    for _ in range(6):
        datagram = server.hear()
        if parts(datagram)[1] == code:
            return datagram
    raise Failed(f"no request {code}")


def lives(kit, server, folder, mode):
    ep = f"behind-{mode}"
    # The name in the certificate is that of Leshan's cases, so the Client is told not to mind.
    client = Program(kit, f"coaps://127.0.0.1:{server.port}", ep, more=options(folder, mode, ep))
    try:
        register = hear_request(server, POST)
        for part in (f"ep={ep}".encode(), b"lt=60", b"lwm2m=1.0", b"</3/0>"):
            want(part in register, f"{part} is not in {register}")
        # Location-Path: rd, 7.
        server.say(answer(register, CREATED, b"\x82rd\x017"))
        client.heard("registered")
        server.say(bytes([CON | 1, GET, 0x12, 0x34, 0x77]) + b"\xb13\x010\x010\x60")
        for _ in range(6):
            said = server.hear()
            if parts(said)[1] == CONTENT:
                break
        want(b"dunlin" in said, f"the manufacturer was answered by {said}")
        client.process.interrupt()
        farewell = hear_request(server, DELETE)
        want(b"rd" in farewell and b"7" in farewell, farewell)
        server.say(answer(farewell, DELETED))
    finally:
        client.end()


def run(kit, table):
    for peer, modes in ((OpenSsl, ("psk", "x509")), (Scandium, ("psk", "rpk", "x509"))):
        cases = Cases(table, peer.name, peer.version(), "from us")
        for mode in modes:
            folder = certificates(kit, f"behind-{mode}")
            openssl("pkcs8", "-topk8", "-nocrypt", "-in", "server.key", "-outform", "DER", "-out", "server.key.der",
                    folder=folder)
            server = peer(kit, folder, mode)
            cases.case(f"`dunlin client`, DTLS, {mode}: Register, Read, De-register", lambda: lives(kit, server, folder, mode))
            server.end()
