"""Our Client against Leshan's Server."""

import socket
import tempfile
import time
from types import SimpleNamespace

from cases.ours import Device, Program
from kit import DDF, LESHAN, Cases, free_port, want


def run(kit, table, line):
    command = kit.leshan(line)
    cases = Cases(table, "Leshan Server", LESHAN[line], "from us")
    uri = f"coap://127.0.0.1:{free_port(socket.SOCK_DGRAM)}"
    server = kit.start([*command, "server", uri, *DDF])
    server.wait("event listening", within=30)
    plain(cases, server, Device(kit, uri, "dunlin-device"), "dunlin-device", "device")
    plain(cases, server, Program(kit, uri, "dunlin-objects"), "dunlin-objects", "dunlin")
    sleeping(kit, cases, server, uri)
    version6(kit, cases, command)
    program(kit, cases, server, uri)


def plain(cases, server, client, ep, model):
    every_case = cases.case
    cases = SimpleNamespace(case=lambda name, run: every_case(f"{client.name}: {name}", run))

    def ask(verb, path, *more, good="2."):
        said = server.ask(" ".join([verb, ep, path, *map(str, more)]))
        want(said.startswith(good), f"{verb} {path} {more}: {said}")
        return said

    def register():
        said = server.wait(f"event registered {ep}")
        client.heard("registered")
        for part in ("lt=60", "b=U", "1.0", "</1/0>", "</3/0>", "</3303/0>", "</33555/0>"):
            want(part in said, said)

    if not cases.case("Register", register):
        return

    def update():
        since, ours = server.mark(), client.mark()
        client.update()
        server.wait(f"event updated {ep}", since)
        client.heard("updated", ours)

    if client.update:
        cases.case("Update", update)

    def read(path, form, *parts):
        def run():
            said = ask("read", path, form, good="2.05")
            for part in parts:
                want(part in said, said)
        return run

    every = ("first", "-70000", "2.5", "true", "-300")
    for form in ("TLV", "JSON", "-"):
        name = "the Client's choice" if form == "-" else form
        cases.case(f"Read /1, {name}", read("/1", form, "60", "U"))
        cases.case(f"Read /3, {name}", read("/3", form, "dunlin", model))
        cases.case(f"Read /3303/0, {name}", read("/3303/0", form, "21.5", "Cel"))
        cases.case(f"Read an instance with every type, {name}", read("/33555/0", form, *every))
    singles = {"0": "first", "1": "-70000", "2": "2.5", "3": "true", "4": "bytes=AQL/", "5": "2023", "6": "3"}
    for form in ("by type", "TLV", "JSON"):
        def single():
            for resource, part in singles.items():
                kind = ("OPAQUE" if resource == "4" else "TEXT") if form == "by type" else form
                said = ask("read", f"/33555/0/{resource}", kind, good="2.05")
                want(part in said, (resource, kind, said))
        name = "text and opaque" if form == "by type" else form
        cases.case(f"Read a Resource of every type, {name}", single)

    def missing():
        ask("read", "/33555/7", good="4.04")
        ask("read", "/33555/0/8", good="4.05")
        ask("read", "/999", good="4.04")

    cases.case("Read what is not there, 4.04; what is executable, 4.05", missing)

    written = {"0": ("s:hello", "hello"), "1": ("i:1099511627776", "1099511627776"), "2": ("f:-0.1", "-0.1"),
               "3": ("b:false", "false"), "4": ("o:AAEC", "bytes=AAEC"), "5": ("t:86400", "1970"),
               "6": ("l:33555:0", "33555"), "7": ("m:1=7", "7")}
    for form in ("TLV", "JSON", "by type"):
        def write():
            for resource, (value, shown) in written.items():
                if form == "by type" and resource == "7":
                    continue
                kind = ("OPAQUE" if resource == "4" else "TEXT") if form == "by type" else form
                ask("write", f"/33555/0/{resource}", kind, value, good="2.04")
                said = ask("read", f"/33555/0/{resource}", "TLV", good="2.05")
                want(shown in said, (resource, kind, said))
        name = "text and opaque" if form == "by type" else form
        cases.case(f"Write a Resource of every type, {name}", write)

    def partial():
        ask("update", "/33555/0", "TLV", "0=s:second 1=i:5", good="2.04")
        said = ask("read", "/33555/0", "TLV")
        want("second" in said and "33555" in said, said)

    cases.case("Write an instance, partial update", partial)

    def replace():
        ask("replace", "/33555/0", "TLV", "0=s:third 2=f:9.25", good="2.04")
        said = ask("read", "/33555/0", "TLV")
        want("third" in said and "9.25" in said and "second" not in said, said)
        ask("read", "/33555/0/1", "TLV", good="4.04")

    cases.case("Write an instance, replace", replace)
    cases.case("Write what is read-only, 4.05", lambda: ask("write", "/33555/0/9", "TEXT", "i:1", good="4.05") and None)

    def large():
        text = "0123456789" * 300
        ask("write", "/33555/0/0", "TEXT", "s:" + text, good="2.04")
        want(text in ask("read", "/33555/0/0", "TEXT", good="2.05"), "what was read is not what was written")
        ask("write", "/33555/0/0", "TEXT", "s:short", good="2.04")

    cases.case("Write and Read 3000 bytes, block by block", large)

    def execute():
        since = client.mark()
        ask("execute", "/33555/0/8", "0='x',1", good="2.04")
        client.heard("executed", since)
        since = client.mark()
        ask("execute", "/33555/0/8", good="2.04")
        client.heard("executed", since)

    cases.case("Execute, with arguments and without", execute)

    def standard(number, path, value, shown):
        """The operations on an Object of the standard that no other case does there."""
        want(f"</{number}/0" in ask("discover", f"/{number}", good="2.05"), "not discovered")
        ask("attributes", f"/{number}/0", "pmin=0&pmax=3600", good="2.04")
        want("pmax=3600" in ask("discover", f"/{number}/0", good="2.05"), "attributes not kept")
        ask("observe", path, "-", good="2.05")
        since = server.mark()
        ask("write", path, "TLV", value, good="2.04")
        server.wait(f"event notified {path} .*{shown}", since)
        ask("cancel", path, good="2.05")

    def servers():
        standard(1, "/1/0/6", "b:false", "false")
        # One Server alone has every right (TS 8.2), so also that to tell of another one.
        ask("create", "/1/7", "TLV", "0=i:9 1=i:60 6=b:false 7=s:U", good="2.01")
        ask("delete", "/1/7", good="2.02")

    def device():
        standard(3, "/3/0/14", "s:+05:30", "05:30")
        ask("execute", "/3/0/0", good="4.05")
        ask("create", "/3", "TLV", "0=s:x", good="4.0")
        ask("delete", "/3/0", good="4.05")

    cases.case("Object 1: Discover, Write-Attributes, Observe, Write, notification, cancel, Create, Delete", servers)
    if client.name == "dunlin client":  # The example has nothing in its Object 3 that can be written.
        cases.case("Object 3: Discover, Write-Attributes, Observe, Write, notification, cancel; Create, Delete and Execute of "
                   "a value are refused", device)

    def discover():
        for path in ("/3303", "/3303/0", "/3303/0/5700"):
            want("</3303/0/5700>" in ask("discover", path, good="2.05"), path)

    cases.case("Discover of object, instance and Resource", discover)

    def observe():
        ask("observe", "/3303/0/5700", "-", good="2.05")
        since = server.mark()
        client.temperature(22.5)
        server.wait("event notified /3303/0/5700 .*22.5", since)
        client.temperature(23.5)
        server.wait("event notified /3303/0/5700 .*23.5", since)

    cases.case("Observe a Resource, notifications", observe)

    def thermometer():
        ask("write", "/3303/0/5700", "TLV", "f:1.0", good="4.0")
        ask("execute", "/3303/0/5700", good="4.0")
        ask("create", "/3303/0", "TLV", "5700=f:1.0", good="4.0")
        ask("observe", "/3303", "-", good="2.05")
        since = server.mark()
        client.temperature(24.25)
        server.wait("event notified /3303 .*24.25", since)
        ask("cancel", "/3303", good="2.05")

    cases.case("Object 3303: Observe the Object, notification, cancel; Write and Execute of the value, Create over what is "
               "there refused", thermometer)

    def attributes():
        ask("attributes", "/3303/0/5700", "pmin=1&pmax=60&gt=30.5", good="2.04")
        said = ask("discover", "/3303/0/5700", good="2.05")
        want("pmin=1" in said and "pmax=60" in said and "gt=30.5" in said, said)
        since = server.mark()
        client.temperature(29.5)
        client.temperature(31.5)
        server.wait("event notified /3303/0/5700 .*31.5", since)
        want(not [one for one in server.lines[since:] if "29.5" in one], "told below the threshold")

    cases.case("Write-Attributes; gt and pmin are kept", attributes)

    def blocks():
        text = "9876543210" * 300
        ask("observe", "/33555/0/0", "-", good="2.05")
        since = server.mark()
        ask("write", "/33555/0/0", "TEXT", "s:" + text, good="2.04")
        server.wait("event notified /33555/0/0 .*" + text, since)
        ask("cancel", "/33555/0/0", good="2.05")
        ask("write", "/33555/0/0", "TEXT", "s:short", good="2.04")

    cases.case("Observe a Resource, a notification of 3000 bytes in blocks", blocks)

    def cancel():
        ask("cancel", "/3303/0/5700", good="2.05")
        client.heard("ended")
        since = server.mark()
        client.temperature(32.5)
        time.sleep(1.5)
        want(not [one for one in server.lines[since:] if "notified" in one], server.lines[since:])

    cases.case("Cancel by Observe 1", cancel)

    def reset():
        ask("observe", "/3303/0", "-", good="2.05")
        ours = client.mark()
        said = server.ask(f"forget {ep} /3303/0")
        want(said == "cancelled 1", said)
        client.temperature(33.5)
        client.heard("ended", ours)

    cases.case("Observe an instance, cancel by Reset", reset)

    def create():
        since = server.mark()
        ask("create", "/33555/5", "TLV", "0=s:made", good="2.01")
        want("made" in ask("read", "/33555/5/0", "TEXT"), "not there")
        server.wait("event updated .*</33555/5>", since)

    cases.case("Create with an ID; the Update tells of it", create)

    def create_free():
        said = ask("create", "/33555", "TLV", "0=s:free", good="2.01")
        location = "/" + said.split(" ")[1].strip("/")
        want("free" in ask("read", location + "/0", "TEXT"), said)

    cases.case("Create without an ID, with its Location", create_free)

    def delete():
        ask("delete", "/33555/5", good="2.02")
        ask("read", "/33555/5", good="4.04")

    cases.case("Delete", delete)

    def lifetime():
        since = server.mark()
        ask("write", "/1/0/1", "TEXT", "i:120", good="2.04")
        server.wait(f"event updated {ep} lt=120", since)

    cases.case("Write the lifetime; the Update tells of it", lifetime)

    def trigger():
        since = server.mark()
        ask("execute", "/1/0/8", good="2.04")
        server.wait(f"event updated {ep}", since)

    cases.case("Execute the Registration Update Trigger", trigger)

    def deregister():
        since = server.mark()
        client.end()
        server.wait(f"event deregistered {ep}", since)

    cases.case("De-register", deregister)


def sleeping(kit, cases, server, uri):
    ep = "dunlin-sleeper"
    client = Device(kit, uri, ep, 30, "UQ")

    def queue():
        said = server.wait(f"event registered {ep}")
        want("UQ" in said or "Q" in said, said)
        client.heard("asleep")
        since = server.mark()
        client.update()
        server.wait(f"event (updated|awake) {ep}", since)
        said = server.ask(f"write {ep} /33555/0/0 TEXT s:awake")
        want(said.startswith("2.04"), said)

    cases.case("Queue mode: sleeps, wakes with an Update, is written", queue)
    client.end()


def version6(kit, cases, command):
    uri = f"coap://[::1]:{free_port(socket.SOCK_DGRAM)}"
    server = kit.start([*command, "server", uri, *DDF])
    server.wait("event listening", within=30)
    ep = "dunlin-six"
    client = Program(kit, uri, ep)

    def over():
        server.wait(f"event registered {ep}")
        want("dunlin" in server.ask(f"read {ep} /3/0/0 TEXT"), "not read")
        want(server.ask(f"observe {ep} /3303/0/5700 -").startswith("2.05"), "not observed")
        since = server.mark()
        client.temperature(22.5)
        server.wait("event notified /3303/0/5700 .*22.5", since)
        client.end()
        server.wait(f"event deregistered {ep}")

    cases.case("IPv6: Register, Read, Observe, De-register", over)
    client.end()


def program(kit, cases, server, uri):
    """The product's own Client, `dunlin client`, as a person starts it."""
    ep = "dunlin-program"
    state = tempfile.mkdtemp(prefix="dunlin-interop-")
    kit.folders.append(state)
    command = [kit.dunlin, "client", "--server", uri, "--endpoint", ep, "--state", state]
    client = kit.start(command)

    def ask(good, *words):
        said = server.ask(" ".join([words[0], ep, *words[1:]]))
        want(said.startswith(good), f"{words}: {said}")
        return said

    def register():
        said = server.wait(f"event registered {ep}")
        want("lt=300" in said and "</3303/0>" in said, said)
        client.wait("^registered with")
        want("dunlin" in ask("2.05", "read", "/3/0", "TLV"), "not the manufacturer")
        want("Cel" in ask("2.05", "read", "/3303/0", "JSON"), "no unit")
        want("</3/0/4>" in ask("2.05", "discover", "/3"), "not discovered")

    if not cases.case("dunlin client: Register, Read, Discover", register):
        return

    def observe():
        since = server.mark()
        ask("2.05", "observe", "/3303/0/5700", "-")
        client.wait("^observed from now on: /3303/0/5700")
        server.wait("event notified /3303/0/5700", since, 12)
        ask("2.05", "cancel", "/3303/0/5700")
        client.wait("^no longer observed: /3303/0/5700")

    cases.case("dunlin client: Observe the thermometer, notifications, cancel", observe)

    def reboot():
        since, ours = server.mark(), client.mark()
        ask("2.04", "write", "/1/0/1", "TEXT", "i:90")
        server.wait(f"event updated {ep} lt=90", since)
        ask("2.04", "execute", "/3/0/4")
        client.wait("^reboots", ours)
        client.wait("^registered with .* for 90 s", ours, 20)
        server.wait(f"event registered {ep} lt=90", since, 20)

    cases.case("dunlin client: Write the lifetime, reboot, it registers anew with it", reboot)

    def leave():
        since = server.mark()
        client.interrupt()
        server.wait(f"event deregistered {ep}", since)
        again = kit.start(command)
        said = server.wait(f"event registered {ep}", since)
        want("lt=90" in said, f"the lifetime was not kept: {said}")
        since = server.mark()
        again.interrupt()
        server.wait(f"event deregistered {ep}", since)

    cases.case("dunlin client: De-register at its end; what was written is there when it comes again", leave)
