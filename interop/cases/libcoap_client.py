"""libcoap's coap-client against our /rd, without any LwM2M of its own."""

import subprocess

from kit import Cases, Dunlin, want


def run(kit, table):
    program = kit.libcoap()
    version = subprocess.run([program], capture_output=True, text=True, timeout=10).stderr
    version = next((word.strip("v,") for word in version.split() if word.startswith("v4")), "4")
    cases = Cases(table, "libcoap", version, "to us")
    server = Dunlin(kit)

    def ask(path, *options):
        command = [program, "-v", "6", "-B", "5", *options, f"coap://127.0.0.1:{server.coap}/{path}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
        return done.stdout + done.stderr

    def register(name, links, more=()):
        return ask(f"rd?ep={name}&lt=300&lwm2m=1.0&b=U", "-m", "post", "-t", "40", "-e", links, *more)

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
