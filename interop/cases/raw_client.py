"""Clients that are only CoAP stacks (aiocoap, Californium, the coap of npm) against our Server: what the stack does by
itself with blocks, separate answers, observations and lost datagrams is what is tried here."""

import socket

from kit import AIOCOAP, CALIFORNIUM, NODE_COAP, Cases, Dunlin, Lossy, free_port, want

LINKS = "</1/0>,</3/0>,</3303/0>,</33555/0>"
TEXT = "0123456789" * 300


def run(kit, table, name):
    if name == "aiocoap":
        command, environment = kit.aiocoap()
        version, said = AIOCOAP, "aiocoap"
    elif name == "coap of npm":
        command, environment = kit.node()
        command, version, said = [*command, "client"], NODE_COAP, "coap of npm"
    else:
        command, environment = [*kit.californium(), "client"], None
        version, said = CALIFORNIUM, "californium"
    server = Dunlin(kit)

    def start(uri):
        peer = kit.start([*command, free_port(socket.SOCK_DGRAM), uri], env=environment)
        peer.wait("event listening", within=20)
        return peer

    cases = Cases(table, name, version, "to us")
    plain(cases, server, start(server.uri), f"raw-{said}".replace(" ", "-"), said)
    lossy(kit, cases, server, start, f"lossy-{said}".replace(" ", "-"), said)


def plain(cases, server, peer, ep, said):
    ask = lambda method, path, body=None: server.call(method, f"/clients/{ep}{path}", body)
    location = []

    def sends(expected, what):
        answer = peer.ask(f"request {what}", 25)
        want(answer.startswith(expected), f"{what[:80]}: {answer}")
        return answer

    def code(name, expected, what):
        cases.case(f"{name}, {expected}", lambda: sends(expected, what) and None)

    code("GET /.well-known/core", "4.04", "GET /.well-known/core")
    code("GET /rd", "4.05", "GET /rd")
    code("PUT of what is not there", "4.04", "PUT /nothing 0 hello")
    code("Register without ep", "4.00", f"POST /rd?lt=60&lwm2m=1.0 40 {LINKS}")

    def register():
        answer = sends("2.01", f"POST /rd?ep={ep}&lt=300&lwm2m=1.0&b=U 40 {LINKS}")
        location.append(answer.split()[1])
        want(set(server.registered(ep)["objects"]) == {"1", "3", "3303", "33555"}, server.client(ep))

    if not cases.case("Register, 2.01 with Location-Path", register):
        return

    def blocks():
        sends("2.04", f"POST {location[0]} 40 links:900")
        want(len(server.client(ep)["objects"]["3303"]["instances"]) == 900, "not all instances")
        sends("2.04", f"POST {location[0]} 40 {LINKS}")
        want(set(server.client(ep)["objects"]) == {"1", "3", "3303", "33555"}, server.client(ep))

    cases.case("Update, 900 links in blocks, and back", blocks)

    def fallback():
        status, read, coap = ask("GET", "/3303/0")
        want(status == 200 and coap == "2.05", (status, read, coap))
        values = {one["id"]: one["value"] for one in read["node"]["resources"]}
        want(values == {5700: 21.5, 5701: "Cel"}, values)

    cases.case("Read an instance: TLV is refused with 4.06, its JSON is taken", fallback)

    def value(path, expected):
        def run():
            status, read, coap = ask("GET", path)
            want(status == 200 and coap == "2.05" and read["node"]["value"] == expected, (status, read, coap))
        return run

    cases.case("Read a Resource", value("/3/0/0", said))
    cases.case("Read with a separate answer", value("/3/0/1", "slow"))

    def large():
        since = peer.mark()
        status, answer, coap = server.call("PUT", f"/clients/{ep}/33555/0/0?format=text", {"value": TEXT})
        want(status == 204 and coap == "2.04", (status, answer, coap))
        peer.wait("event written /33555/0/0 3000", since)
        status, read, _ = ask("GET", "/33555/0/0?format=text")
        want(status == 200 and read["node"]["value"] == TEXT, (status, str(read)[:200]))

    cases.case("Write and Read 3000 bytes, block by block", large)

    def refused():
        status, answer, coap = ask("PUT", "/33555/0/0?format=tlv", {"value": "x"})
        want(status == 415 or coap == "4.15", (status, answer, coap))

    cases.case("Write in a format it does not have, 4.15", refused)

    def execute():
        since = peer.mark()
        status, answer, coap = ask("POST", "/33555/0/8", {"arguments": "0='x',1"})
        want(status == 204 and coap == "2.04", (status, answer, coap))
        peer.wait("event executed /33555/0/8 0='x',1", since)

    cases.case("Execute, with arguments", execute)

    def discover():
        status, answer, coap = ask("GET", "/3303/0/discover")
        want(status == 200 and coap == "2.05", (status, answer, coap))
        want({one["path"] for one in answer["links"]} == {"/3303/0", "/3303/0/5700", "/3303/0/5701"}, answer)

    cases.case("Discover of an instance", discover)

    def missing():
        status, answer, coap = ask("GET", "/3303/0/5699")
        want(status == 404 and coap == "4.04", (status, answer, coap))
        status, answer, coap = ask("POST", "/3303/0/5605")
        want((status, coap) in ((404, "4.04"), (405, "4.05")), (status, answer, coap))

    cases.case("Read and Execute of what is not there, 4.04", missing)

    def observe(cancel):
        def run():
            since = peer.mark()
            status, answer, coap = ask("POST", "/3303/0/5700/observe")
            want(status == 200 and coap == "2.05", (status, answer, coap))
            peer.wait("event observers /3303/0/5700 1", since)
            for number in (22.5, 23.5, 24.5):
                peer.ask(f"temperature {number}")
                server.notified(ep, "/3303/0/5700", number)
            status, answer, coap = ask("DELETE", f"/3303/0/5700/observe?by={cancel}")
            want(status in (200, 204), (status, answer, coap))
            peer.ask("temperature 25.5")  # answered with Reset, or with silence
            peer.wait("event observers /3303/0/5700 0", since)
        return run

    cases.case("Observe a Resource, notifications, cancel by Observe 1", observe("observe"))
    cases.case("Observe a Resource, notifications, cancel by Reset", observe("reset"))

    def forgotten():
        want(ask("DELETE", "")[0] == 204, "cannot be forgotten")
        sends("4.04", f"POST {location[0]}")

    cases.case("Update of a forgotten registration, 4.04", forgotten)

    def deregister():
        answer = sends("2.01", f"POST /rd?ep={ep}&lt=300&lwm2m=1.0&b=U 40 {LINKS}")
        sends("2.02", f"DELETE {answer.split()[1]}")
        want(server.client(ep) is None, "still registered")
        sends("4.04", f"DELETE {answer.split()[1]}")

    cases.case("De-register, 2.02, and again, 4.04", deregister)
    peer.end()


def lossy(kit, cases, server, start, ep, said):
    """Every fourth datagram is lost, in each direction."""
    road = Lossy(kit, server.coap)
    peer = start(f"coap://127.0.0.1:{road.port}")

    def over():
        answer = peer.ask(f"request POST /rd?ep={ep}&lt=300&lwm2m=1.0&b=U 40 {LINKS}", 40)
        want(answer.startswith("2.01"), answer)
        status, read, _ = server.call("GET", f"/clients/{ep}/3/0/0?format=text")
        want(status == 200 and read["node"]["value"] == said, (status, read))
        status, read, _ = server.call("PUT", f"/clients/{ep}/33555/0/0?format=text", {"value": TEXT[:400]})
        want(status == 204, (status, read))
        status, read, _ = server.call("GET", f"/clients/{ep}/33555/0/0?format=text")
        want(status == 200 and read["node"]["value"] == TEXT[:400], (status, read))
        want(len([one for one in peer.lines if "event written" in one]) == 1, "written more than once")
        want(road.lost >= 2, f"{road.lost} lost of {road.lost + road.carried}")

    cases.case("Every fourth datagram lost: Register, Read, Write and Read of 400 bytes, once each", over)
    peer.end()
