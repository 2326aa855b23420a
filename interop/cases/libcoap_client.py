"""libcoap without any LwM2M of its own: its coap-client against our /rd, and our Client against its
coap-server, which has no /rd."""

import socket
import subprocess

from kit import DDF, Cases, Dunlin, Lossy, free_port, want


def run(kit, table):
    program = kit.libcoap()
    version = kit.libcoap_version()
    refused(kit, Cases(table, "libcoap", version, "from us"))
    cases = Cases(table, "libcoap", version, "to us")
    server = Dunlin(kit)

    def ask(path, *options):
        command = [program, "-v", "6", "-B", "5", *options, f"coap://127.0.0.1:{server.coap}/{path}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        return done.stdout + done.stderr

    def register(name, links, more=()):
        return ask(f"rd?ep={name}&lt=300&lwm2m=1.0&b=U", "-m", "post", "-t", "40", "-e", links, *more)

    def ping():
        said = ask("", "-m", "get", "-U", "-N")
        want("4.04" in said or "4.05" in said, said[-300:])

    cases.case("A Non-confirmable GET is answered", ping)

    def small():
        said = register("coap-1", "</1/0>,</3/0>")
        want("2.01" in said and "Location-Path" in said, said[-300:])
        want(set(server.registered("coap-1")["objects"]) == {"1", "3"}, server.client("coap-1"))

    cases.case("Register, 2.01 with Location-Path", small)

    def blocks():
        links = ",".join(f"</3303/{number}>" for number in range(300))
        said = register("coap-2", links, ("-b", "256"))
        want("2.01" in said, said[-300:])
        want(len(server.registered("coap-2")["objects"]["3303"]["instances"]) == 300, "not all instances")

    cases.case("Register, 300 links in blocks of 256 bytes", blocks)

    def code(expected, path, *options):
        def asked():
            said = ask(path, *options)
            want(expected in said, said[-300:])
        return asked

    links = ("-m", "post", "-t", "40", "-e", "</3/0>")
    cases.case("Register without ep, 4.00", code("4.00", "rd?lt=300&lwm2m=1.0", *links))
    cases.case("Register for a later major version, 4.12", code("4.12", "rd?ep=coap-3&lwm2m=9.0", *links))
    cases.case("Update of an unknown location, 4.04", code("4.04", "rd/nobody", "-m", "post"))
    cases.case("De-register from an unknown location, 4.04", code("4.04", "rd/nobody", "-m", "delete"))
    cases.case("GET of what is not there, 4.04", code("4.04", "nothing", "-m", "get"))
    cases.case("Observe of what is not there, 4.04", code("4.04", "nothing", "-m", "get", "-s", "1"))


    def lossy():
        road = Lossy(kit, server.coap, 10)
        links = ",".join(f"</3303/{number}>" for number in range(60))
        command = [program, "-v", "6", "-B", "40", "-m", "post", "-t", "40", "-e", links, "-b", "128",
                   f"coap://127.0.0.1:{road.port}/rd?ep=coap-lossy&lt=300&lwm2m=1.0"]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60)
        want("2.01" in said.stdout + said.stderr, (said.stdout + said.stderr)[-300:])
        want(len(server.registered("coap-lossy")["objects"]["3303"]["instances"]) == 60, "not all instances")
        want(len(server.events("coap-lossy", "registered")) == 1, "registered more than once")
        want(road.lost >= 2, f"{road.lost} lost of {road.lost + road.carried}")

    cases.case("Every tenth datagram lost: Register in blocks of 128 bytes, once", lossy)


def refused(kit, cases):
    """Our Client asks a server that has no /rd, and then one that is not there."""
    port = free_port(socket.SOCK_DGRAM)
    server = kit.start([kit.libcoap("server"), "-A", "127.0.0.1", "-p", port, "-v", "7"])
    client = kit.start([kit.device, f"coap://127.0.0.1:{port}", "lost", 60, "U", *DDF])

    def told():
        said = client.wait("event .*(Refused|Failed|4.04|4.05)", within=15)
        want("Registered" not in said, said)

    cases.case("Register with a server without /rd: the refusal is told", told)
    client.end()
    server.end()
