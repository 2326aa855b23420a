"""LwM2M over DTLS: other people's Clients against our Server by pre-shared key, raw public key and
certificate, and our Client against Leshan's Server."""

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from cases.ours import Program
from kit import DDF, LESHAN, Cases, Dunlin, free_port, want

KEY = "000102030405060708090a0b0c0d0e0f"


def openssl(*words, folder):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=20)


def certificates(kit, client, of=None):
    """A folder with an authority, and for `server` and `client` a key, a public key and a certificate, in PEM
    and DER. The Client's bears its endpoint name. `of`: a folder whose authority and server stay the same."""
    folder = tempfile.mkdtemp(prefix="dunlin-interop-")
    kit.folders.append(folder)
    curve = ("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out")
    if of:
        shutil.copytree(of, folder, dirs_exist_ok=True)
    else:
        openssl(*curve, "ca.key", folder=folder)
        openssl("req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=interop authority", "-days", "3", "-out", "ca.pem",
                folder=folder)
        openssl("x509", "-in", "ca.pem", "-outform", "DER", "-out", "ca.der", folder=folder)
    for who, name in (("client", client),) if of else (("server", "localhost"), ("client", client)):
        openssl(*curve, f"{who}.sec1", folder=folder)
        openssl("pkcs8", "-topk8", "-nocrypt", "-in", f"{who}.sec1", "-out", f"{who}.key", folder=folder)
        openssl("pkcs8", "-topk8", "-nocrypt", "-in", f"{who}.sec1", "-outform", "DER", "-out", f"{who}.key.der",
                folder=folder)
        openssl("pkey", "-in", f"{who}.key", "-pubout", "-out", f"{who}.pub.pem", folder=folder)
        openssl("pkey", "-in", f"{who}.key", "-pubout", "-outform", "DER", "-out", f"{who}.pub.der", folder=folder)
        openssl("req", "-new", "-key", f"{who}.key", "-subj", f"/CN={name}", "-out", f"{who}.csr", folder=folder)
        Path(folder, f"{who}.ext").write_text(f"subjectAltName=DNS:{name},IP:127.0.0.1\nkeyUsage=digitalSignature\n"
                                              f"extendedKeyUsage=serverAuth,clientAuth\n")
        openssl("x509", "-req", "-in", f"{who}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "3",
                "-extfile", f"{who}.ext", "-out", f"{who}.pem", folder=folder)
        openssl("x509", "-in", f"{who}.pem", "-outform", "DER", "-out", f"{who}.der", folder=folder)
    return folder


def secured(kit, folder, raw=False):
    """Our Server with the key and certificate of the folder; `raw`: with the key alone."""
    port, bootstrap = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_DGRAM)
    plain = free_port(socket.SOCK_DGRAM)
    certified = {"DUNLIN__DTLS__CERTIFICATE": f"{folder}/server.pem", "DUNLIN__DTLS__CLIENT_CA": f"{folder}/ca.pem"}
    server = Dunlin(kit, "--coaps", f"127.0.0.1:{port}", "--bootstrap-coaps", f"127.0.0.1:{bootstrap}", "--bootstrap-coap",
                    f"127.0.0.1:{plain}",
                    environment={"DUNLIN__DTLS__KEY": f"{folder}/server.key", **({} if raw else certified)})
    server.bootstrap_plain = f"coap://127.0.0.1:{plain}"
    server.coaps, server.bootstrap = f"coaps://127.0.0.1:{port}", f"coaps://127.0.0.1:{bootstrap}"
    server.coaps_port = port
    return server


def credential(folder, mode, endpoint):
    return {"psk": {"mode": "psk", "identity": endpoint, "key": KEY},
            "rpk": {"mode": "rpk", "public_key": Path(folder, "client.pub.pem").read_text()},
            "x509": {"mode": "x509", "subject": endpoint}}[mode]


def enter(server, folder, mode, endpoint):
    body = {"for": "both", "credentials": [credential(folder, mode, endpoint)]}
    status, said, _ = server.call("PUT", f"/credentials/{endpoint}", body)
    want(status in (200, 201), (status, said))


def to_us(kit, table, line):
    """Leshan's Client, by each mode of security."""
    command = kit.leshan(line)
    cases = Cases(table, "Leshan Client", LESHAN[line], "to us")
    for mode in ("psk", "rpk", "x509"):
        ep = f"leshan-{line}-{mode}"
        folder = certificates(kit, ep)
        server = secured(kit, folder)
        java = [command[0], f"-Dsecurity={mode}", f"-Dfolder={folder}", f"-Dkey={KEY}", *command[1:]]

        def start(uri=server.coaps, name=ep):
            return kit.start([*java, "client", uri, name, 60, "U", *DDF])

        def unknown():
            client = start()
            # Its stack may say nothing for a minute; our Server tells at once who has knocked.
            server.until(lambda: server.call("GET", "/knocks")[1]["knocks"], 20, "no knock")
            want(server.client(ep) is None, "registered without a credential")
            client.end()

        def works():
            enter(server, folder, mode, ep)
            client = start()
            client.wait("event registered")
            seen = server.registered(ep)
            want(seen["security"] == mode, seen)
            status, said, _ = server.call("GET", f"/clients/{ep}/3/0/0")
            want(status == 200 and said["node"]["value"] == "Leshan", (status, said))
            status, said, _ = server.call("PUT", f"/clients/{ep}/33555/0/0", {"value": "0123456789" * 200})
            want(status == 204, (status, said))
            status, said, _ = server.call("POST", f"/clients/{ep}/3303/0/5700/observe")
            want(status == 200, (status, said))
            client.ask("temperature 22.5")
            server.notified(ep, "/3303/0/5700", 22.5)
            since = client.mark()
            client.ask("update")
            client.wait("event updated", since)
            client.ask("stop")
            client.wait("event deregistered")
            server.until(lambda: server.client(ep) is None, 5, "still registered")
            client.end()

        if mode == "psk":
            cases.case("DTLS, psk, nobody knows the identity: not registered", unknown)
        cases.case(f"DTLS, {mode}: Register, Read, Write 2000 bytes, Observe, Update, De-register", works)
        server.process.end()


def small(kit, table):
    """openssl s_client with a pre-shared key."""
    folder = certificates(kit, "openssl")
    server = secured(kit, folder)
    version = subprocess.run(["openssl", "version"], capture_output=True, text=True).stdout.split()[1]
    cases = Cases(table, "OpenSSL s_client", version, "to us")
    enter(server, folder, "psk", "openssl")

    def ping(key=KEY, quiet=True):
        process = subprocess.Popen(
            ["timeout", "8", "openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{server.coaps_port}", "-psk", key,
             "-psk_identity", "openssl", "-cipher", "PSK-AES128-CCM8@SECLEVEL=0", *(["-quiet"] if quiet else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        time.sleep(0.5)
        try:
            # A ping, as RFC 7252 has it, and the line's end that ends the datagram of s_client is none of it.
            process.stdin.write(bytes.fromhex("40000a0b"))
            process.stdin.flush()
            time.sleep(1.5)
        except BrokenPipeError:
            pass
        process.terminate()
        said, _ = process.communicate(timeout=10)
        return said

    cases.case("DTLS, psk: handshake and ping", lambda: want(bytes.fromhex("70000a0b") in ping(), "no Reset"))
    cases.case("DTLS, psk with another key: no handshake",
               lambda: want(b"Cipher is PSK" not in ping("ff" * 16, False) and bytes.fromhex("70000a0b") not in
                            ping("ff" * 16), "let in"))
    server.process.end()


LIBCOAP_KEY = "a key of 16 octs"


def libcoap_clients(kit, table):
    """The coap-client of libcoap with each of its TLS libraries, by each mode that it has there."""
    for stack, modes in {"openssl": ("psk", "x509"), "gnutls": ("psk", "x509", "rpk")}.items():
        program = kit.program(f"coap-client-{stack}", "libcoap3-bin")
        cases = Cases(table, f"libcoap ({stack})", kit.libcoap_version(), "to us")
        for mode in modes:
            ep = f"coap-{stack}-{mode}"
            folder = certificates(kit, ep)
            server = secured(kit, folder, raw=mode == "rpk")
            proof = {"psk": ["-u", ep, "-k", LIBCOAP_KEY],
                     "rpk": ["-M", f"{folder}/client.sec1"],
                     "x509": ["-c", f"{folder}/client.pem", "-j", f"{folder}/client.key", "-C", f"{folder}/ca.pem"]}[mode]

            def register(name):
                done = subprocess.run(
                    [program, "-v", "6", "-B", "5", "-m", "post", "-t", "40", "-e", "</1/0>,</3/0>", *proof,
                     f"{server.coaps.replace('127.0.0.1', 'localhost')}/rd?ep={name}&lt=300&lwm2m=1.0"],
                    capture_output=True, text=True, timeout=20)
                return done.stdout + done.stderr

            def good():
                given = credential(folder, mode, ep)
                if mode == "psk":
                    given["key"] = LIBCOAP_KEY.encode().hex()
                status, said, _ = server.call("PUT", f"/credentials/{ep}", {"for": "both", "credentials": [given]})
                want(status in (200, 201), (status, said))
                said = register(ep)
                want("2.01" in said, said[-300:])
                want(server.registered(ep)["security"] == mode, server.client(ep))

            cases.case(f"DTLS, {mode}: Register, 2.01", good)

            def other():
                said = register("somebody-else")
                want("4.03" in said or "4.00" in said, said[-300:])
                want(server.client("somebody-else") is None, "registered under a name that is not its own")

            cases.case(f"DTLS, {mode}: Register under another name is refused", other)
            server.process.end()


def libcoap_servers(kit, table):
    """Our Client against the coap-server of libcoap with each of its TLS libraries: the session stands, and the
    Register is refused, because there is no /rd."""
    for stack, modes in {"openssl": ("psk", "x509"), "gnutls": ("psk", "x509", "rpk")}.items():
        program = kit.program(f"coap-server-{stack}", "libcoap3-bin")
        cases = Cases(table, f"libcoap ({stack})", kit.libcoap_version(), "from us")
        for mode in modes:
            ep = f"dunlin-{stack}-{mode}"
            folder = certificates(kit, ep)
            port = free_port(socket.SOCK_DGRAM)
            proof = {"psk": ["-k", LIBCOAP_KEY, "-h", "interop"],
                     "rpk": ["-M", f"{folder}/server.sec1"],
                     "x509": ["-c", f"{folder}/server.pem", "-j", f"{folder}/server.key", "-C", f"{folder}/ca.pem"]}[mode]
            server = kit.start([program, "-A", "127.0.0.1", "-p", port, "-v", "7", *proof])
            server.wait("created DTLS endpoint|created UDP", within=10)
            more = options(folder, mode, ep)
            if mode == "psk":
                more[-1] = LIBCOAP_KEY.encode().hex()

            def refused():
                client = Program(kit, f"coaps://127.0.0.1:{port + 1}", ep, more=more)
                said = client.process.wait("not registered with", within=15)
                want("4.04" in said or "4.05" in said, said)
                client.end()

            cases.case(f"DTLS, {mode}: the session stands, Register with a server without /rd, the refusal is told", refused)
            server.end(1)


def options(folder, mode, endpoint):
    """What `dunlin client` is told to prove itself, and to know the Server."""
    return {"psk": ["--identity", endpoint, "--key", KEY],
            "rpk": ["--rpk", f"{folder}/client.key", "--server-key", f"{folder}/server.pub.pem"],
            "x509": ["--cert", f"{folder}/client.pem", "--cert-key", f"{folder}/client.key", "--server-cert",
                     f"{folder}/server.pem", "--any-server-name"]}[mode]


def leshan_server(kit, folder, line, mode):
    """Leshan's Server with DTLS, and its secured URI."""
    java, *rest = kit.leshan(line)
    coap, coaps = (free_port(socket.SOCK_DGRAM) for _ in range(2))
    uri = f"coaps://127.0.0.1:{coaps}"
    identity = "rpk" if mode == "rpk" else "x509"
    # Leshan 2 with connection ids (RFC 9146), which Leshan 1.5 does not have.
    cid = ["-Dcid=6"] if line == 2 else []
    server = kit.start([java, f"-Dfolder={folder}", f"-Dkey={KEY}", f"-Dcoaps={uri}", f"-Didentity={identity}", *cid, *rest,
                        "server", f"coap://127.0.0.1:{coap}", *DDF])
    server.wait("event listening", within=30)
    server.coap = f"coap://127.0.0.1:{coap}"
    return server, uri


def from_us(kit, table, line):
    """Our Client, by each mode, against Leshan's Server; straight, and by way of Leshan's Bootstrap-Server."""
    cases = Cases(table, "Leshan Server", LESHAN[line], "from us")
    for mode in ("psk", "rpk", "x509"):
        ep = f"dunlin-{mode}"
        folder = certificates(kit, ep)
        server, uri = leshan_server(kit, folder, line, mode)
        server.ask(f"secure {ep} {mode}")

        def ask(good, *words):
            said = server.ask(" ".join([words[0], ep, *words[1:]]))
            want(said.startswith(good), f"{words}: {said}")
            return said

        def lives(client):
            said = server.wait(f"event registered {ep}")
            want("lt=60" in said, said)
            client.heard("registered")
            want("dunlin" in ask("2.05", "read", "/3/0/0", "TEXT"), "not the manufacturer")
            ask("2.04", "write", "/33555/0/0", "TEXT", "s:" + "0123456789" * 200)
            ask("2.05", "observe", "/3303/0/5700", "-")
            since = server.mark()
            client.temperature(22.5)
            server.wait("event notified /3303/0/5700 .*22.5", since)
            ask("2.04", "execute", "/1/0/8")
            server.wait(f"event updated {ep}", since)
            client.end()
            server.wait(f"event deregistered {ep}", since)

        with_cid = ", connection ids" if line == 2 else ""
        cases.case(f"DTLS, {mode}{with_cid}: Register, Read, Write 2000 bytes, Observe, Update, De-register",
                   lambda: lives(Program(kit, uri, ep, more=options(folder, mode, ep))))
        server.end(2)


def bootstrap_from_us(kit, table, line):
    """Our Client is given its account by Leshan's Bootstrap-Server, and registers with Leshan's Server of that line."""
    java, *rest = kit.leshan(line)
    main = 1 if line == 1 else 2
    cases = Cases(table, "Leshan Bootstrap-Server", LESHAN[line], "from us")
    for how in ("none", "psk", "rpk"):
        for mode in ("none", "psk", "rpk", "x509"):
            # Each way to the Bootstrap-Server with the account that is nearest to it, and PSK with all.
            if how not in (mode, "psk"):
                continue
            ep = f"boot-{how}-{mode}"
            folder = certificates(kit, ep)
            server, uri = leshan_server(kit, folder, main, mode)
            if mode == "none":
                uri = server.coap
            else:
                server.ask(f"secure {ep} {mode}")
            plain, secure = (free_port(socket.SOCK_DGRAM) for _ in range(2))
            giver = kit.start([java, f"-Dfolder={folder}", f"-Dkey={KEY}", f"-Dcoaps=coaps://127.0.0.1:{secure}", *rest,
                               "bootstrap", f"coap://127.0.0.1:{plain}"])
            giver.wait("event listening", within=30)
            giver.ask(f"config {ep} {mode} {uri}")
            if how != "none":
                giver.ask(f"secure {ep} {how}")

            def given():
                to = f"coap://127.0.0.1:{plain}" if how == "none" else f"coaps://127.0.0.1:{secure}"
                more = ["--bootstrap", *([] if how == "none" else options(folder, how, ep))]
                client = Program(kit, to, ep, None, more=more)
                giver.wait(f"event bootstrap_ended {ep}", within=20)
                said = server.wait(f"event registered {ep}", within=20)
                want("lt=60" in said, said)
                said = server.ask(f"read {ep} /3/0/0 TEXT")
                want("dunlin" in said, said)
                client.end()
                server.wait(f"event deregistered {ep}")

            cases.case(f"Bootstrap ({how}), then Register with the account that was given ({mode})", given)
            for one in (server, giver):
                one.end(2)


def bootstrap_to_us(kit, table, line):
    """Leshan's Client is given its account by our Bootstrap-Server, with keys that are made for it, and
    registers with our Server."""
    java, *rest = kit.leshan(line)
    cases = Cases(table, "Leshan Client", LESHAN[line], "to us")
    keys = certificates(kit, "unused")
    server = secured(kit, keys)
    server.folder_of_keys = keys
    # Each way to the Bootstrap-Server with the account that is nearest to it, and PSK with all.
    for how, mode in (("none", "none"), ("psk", "none"), ("psk", "psk"), ("psk", "rpk"), ("psk", "x509"), ("rpk", "rpk"),
                      ("x509", "x509")):
        ep = f"boot-{line}-{how}-{mode}"

        def given():
            folder = certificates(kit, ep, server.folder_of_keys)
            if how != "none":
                body = {"for": "bootstrap", "credentials": [credential(folder, how, ep)]}
                status, said, _ = server.call("PUT", f"/credentials/{ep}", body)
                want(status in (200, 201), (status, said))
            account = {"short_server_id": 123, "uri": server.uri if mode == "none" else server.coaps,
                       "keys": {"mode": "nosec" if mode == "none" else mode}, "lifetime_s": 60, "binding": "U"}
            status, said, _ = server.call("PUT", f"/profiles/{ep}", {"endpoint": ep, "servers": [account]})
            want(status in (200, 201), (status, said))
            to = server.bootstrap_plain if how == "none" else server.bootstrap
            client = kit.start([java, f"-Dfolder={folder}", f"-Dkey={KEY}", f"-Dsecurity={how}", "-Dbootstrap=true", *rest,
                                "client", to, ep, 60, "U", *DDF])
            client.wait("event bootstrapped", within=20)
            client.wait("event registered", within=20)
            runs = server.call("GET", f"/bootstrap/runs?endpoint={ep}")[1]["runs"]
            want(runs and runs[0]["state"] == "succeeded", runs)
            want(server.registered(ep)["security"] == ("nosec" if mode == "none" else mode), server.client(ep))
            status, said, _ = server.call("GET", f"/clients/{ep}/3/0/0")
            want(status == 200 and said["node"]["value"] == "Leshan", (status, said))
            client.ask("stop")
            client.wait("event deregistered")
            client.end()

        made = "given" if mode == "none" else "given and made"
        cases.case(f"Bootstrap ({how}), then Register with the account that was {made} ({mode})", given)
    server.process.end()
