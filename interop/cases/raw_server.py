"""Our Client against a Server that is only a CoAP stack with an /rd of its own: Californium, the coap of npm."""

import socket
import struct
import time

from kit import CALIFORNIUM, DDF, NODE_COAP, Cases, Lossy, free_port, want

TEXT = "0123456789" * 300


def run(kit, table, name):
    command, environment = kit.node() if name == "coap of npm" else (kit.californium(), None)
    version = NODE_COAP if name == "coap of npm" else CALIFORNIUM
    cases = Cases(table, name, version, "from us")
    port = free_port(socket.SOCK_DGRAM)
    server = kit.start([*command, "server", port], env=environment)
    server.wait("event listening", within=20)
    plain(kit, cases, server, port)
    lossy(kit, cases, server, port)


def plain(kit, cases, server, port):
    ep = "dunlin-cf"
    npm = cases.peer == "coap of npm"
    # By a road that loses nothing, and knows what was said when a case fails.
    road = Lossy(kit, port, of=1, left=1)
    client = kit.start([kit.device, f"coap://127.0.0.1:{road.port}", ep, 60, "U", *DDF])

    def ask(expected, method, path, *more):
        answer = server.ask(" ".join(["request", method, ep, path, *more]), 25)
        want(answer.startswith(expected), f"{method} {path} {more}: {answer}"[:300])
        return answer

    def register():
        said = server.wait(f"event registered {ep}")
        want(all(part in said for part in ("lwm2m=1.0", "lt=60", "</3/0>", "</33555/0>")), said)
        client.wait("event Registered")

    if not cases.case("Register", register):
        return
    if not npm:
        cases.case("Ping, answered with Reset", lambda: want(server.ask(f"ping {ep}") == "pong", "silence"))

    def read():
        want("dunlin" in ask("2.05", "GET", "/3/0/0", "accept:0"), "not the manufacturer")
        # The manufacturer and the rest of the instance, Resource TLVs one after another.
        want("c80006" not in ask("2.05", "GET", "/3/0", "accept:11542"), "an instance TLV around them")
        ask("4.06", "GET", "/3/0/0", "accept:110")
        ask("4.04", "GET", "/3/0/999")
        ask("4.05", "GET", "/3/0/4")

    cases.case("Read in text and TLV; 4.06, 4.04, 4.05", read)

    def large():
        ask("2.04", "PUT", "/33555/0/0", "0", TEXT)
        want(TEXT in ask("2.05", "GET", "/33555/0/0", "accept:0"), "what was read is not what was written")
        want("</33555/0/0>" in ask("2.05", "GET", "/33555", "accept:40"), "not discovered")

    cases.case("Write and Read 3000 bytes in blocks of 256, Discover", large)

    def made():
        body = '{"e":[{"n":"0","sv":"' + TEXT + '"}]}'
        said = ask("2.01", "POST", "/33555", "11543", body)
        location = said.split()[1]
        want(TEXT in ask("2.05", "GET", f"{location}/0", "accept:0"), "what was read is not what was created")
        ask("2.02", "DELETE", location)
        ask("4.04", "GET", f"{location}/0")

    cases.case("POST of 3000 bytes in blocks (Create), its Location, GET, DELETE, 4.04", made)

    def observed_blocks():
        said = server.ask(f"observe {ep} /33555/0/0", 25)
        want(said.startswith("2.05"), said)
        since = server.mark()
        ask("2.04", "PUT", "/33555/0/0", "0", TEXT[::-1])
        # As text, or as the TLV that our Client chooses.
        server.wait(f"event notified /33555/0/0 2.05 .*({TEXT[::-1]}|{TEXT[::-1].encode().hex()})", since, 1 if npm else 15)
        ours = client.mark()
        server.ask("cancel /33555/0/0")
        client.wait("event ObservationEnded", ours)

    fetched_and_kept = ("event notified", "It fetches the blocks of the notification one by one, and hands out nothing",
                        road.packets)
    cases.case("Observe, a notification of 3000 bytes in blocks", observed_blocks, fetched_and_kept if npm else None)

    def wrong():
        ask("4.15", "PUT", "/33555/0/0", "110", "[]")
        ask("4.00", "PUT", "/33555/0/1", "0", "twelve")
        ask("4.05", "PUT", "/33555/0/9", "0", "1")
        ask("4.05", "DELETE", "/33555/0/0")
        ask("4.04", "GET", "/nothing/here")

    cases.case("What is wrong is answered 4.15, 4.00, 4.05, 4.04", wrong)

    def observe(cancel):
        def run():
            said = server.ask(f"observe {ep} /3303/0/5700", 25)
            want(said.startswith("2.05"), said)
            for number in (22.5, 23.5, 24.5):
                since = server.mark()
                client.ask(f"temperature {number}")
                # As text, or as a TLV with the float's bytes.
                bytes_of = struct.pack(">f", number).hex()
                server.wait(f"event notified /3303/0/5700 2.05 .*({number}|{bytes_of})", since)
            ours = client.mark()
            server.ask(f"{cancel} /3303/0/5700")
            if cancel == "forget":
                client.ask("temperature 25.5")  # This one is answered with Reset.
            client.wait("event ObservationEnded", ours)
            since = server.mark()
            client.ask("temperature 26.5")
            time.sleep(0.5)
            # The answer to the cancelling GET may still be under way; this value must not.
            told = [one for one in server.lines[since:] if "26.5" in one or struct.pack(">f", 26.5).hex() in one]
            want(not told, told)
        return run

    cases.case("Observe, notifications, cancel by Observe 1", observe("cancel"))
    cases.case("Observe, notifications, cancel by Reset", observe("forget"))

    def deregister():
        client.end()
        server.wait(f"event deregistered {ep}")

    cases.case("De-register", deregister)


def lossy(kit, cases, server, port):
    """Every fourth datagram is lost, in each direction."""
    road = Lossy(kit, port)
    ep = "dunlin-lossy"
    client = kit.start([kit.device, f"coap://127.0.0.1:{road.port}", ep, 60, "U", *DDF])

    def over():
        server.wait(f"event registered {ep}")
        client.wait("event Registered", within=30)
        said = server.ask(f"request PUT {ep} /33555/0/0 0 {TEXT[:600]}", 60)
        want(said.startswith("2.04"), said)
        said = server.ask(f"request GET {ep} /33555/0/0 accept:0", 60)
        want(TEXT[:600] in said, said[:100])
        want(road.lost >= 2, f"{road.lost} lost of {road.lost + road.carried}")

    cases.case("Every fourth datagram lost: Register, Write and Read of 600 bytes in blocks", over)
    client.end()
