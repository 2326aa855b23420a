"""Leshan's Client against our Server, through our REST."""

import json
import time

from kit import DDF, LESHAN, Cases, Dunlin, Lossy, want

SAMPLER = {"0": "first", "1": -70000, "2": 2.5, "3": True, "4": "AQL/", "5": 1700000000, "6": "3:0",
           "7": {"0": 1, "5": -300}, "9": 0}


def values(node):
    """The Resources of an instance, by ID."""
    return {str(one["id"]): one.get("value", one.get("values")) for one in node["resources"]}


def start(kit, command, uri, endpoint, lifetime=60, binding="U"):
    return kit.start([*command, "client", uri, endpoint, lifetime, binding, *DDF])


def run(kit, table, line):
    command = kit.leshan(line)
    cases = Cases(table, "Leshan Client", LESHAN[line], "to us")
    server = Dunlin(kit)
    plain(kit, cases, server, command, line)
    sleeping(kit, cases, server, command, line)
    version6(kit, cases, server, command, line)


def plain(kit, cases, server, command, line):
    ep = f"leshan-{line}"
    # By a road that loses nothing, and knows what was said when a case fails.
    road = Lossy(kit, server.coap, of=1, left=1)
    client = start(kit, command, f"coap://127.0.0.1:{road.port}", ep)
    ask = lambda method, path, body=None: server.call(method, f"/clients/{ep}{path}", body)

    def register():
        client.wait("event registered")
        seen = server.registered(ep)
        want(seen["lifetime_s"] == 60 and seen["binding"] == "U", seen)
        # Leshan 2 says 1.1 whatever it is asked for, and has no other way.
        want(seen["version"] == {1: "1.0", 2: "1.1"}[line], seen)
        want(set(seen["objects"]) == {"1", "3", "3303", "33555"}, seen["objects"])
        deviations = {1: [], 2: ["version_later"]}[line]
        want([one["code"] for one in seen["deviations"]] == deviations, seen["deviations"])

    if not cases.case("Register", register):
        return

    def update():
        before, since = server.client(ep)["updated_at"], client.mark()
        client.ask("update")
        client.wait("event updated", since)
        server.until(lambda: server.client(ep)["updated_at"] > before, 5, "updated_at stands still")

    cases.case("Update", update)

    def read(path, form, check):
        def run():
            status, said, coap = ask("GET", path + (f"?format={form}" if form else ""))
            want(status == 200 and coap == "2.05", (status, said, coap))
            check(said["node"])
        return run

    def is_server(node):
        one = values(node["instances"][0])
        want(one["0"] == 123 and one["1"] == 60 and one["7"] == "U", one)

    def is_device(node):
        want(values(node["instances"][0])["0"] == "Leshan", node)

    def is_temperature(node):
        want(values(node)["5700"] == 21.5 and values(node)["5701"] == "Cel", node)

    def is_sampler(node):
        want(values(node) == SAMPLER, {"read": values(node), "wanted": SAMPLER})

    for form in (None, "tlv", "json"):
        name = form or "the Client's choice"
        cases.case(f"Read /1, {name}", read("/1", form, is_server))
        cases.case(f"Read /3, {name}", read("/3", form, is_device))
        cases.case(f"Read /3303/0, {name}", read("/3303/0", form, is_temperature))
        cases.case(f"Read an instance with every type, {name}", read("/33555/0", form, is_sampler))
    single = {"0": "text", "1": "text", "2": "text", "3": "text", "5": "text", "6": "text", "4": "opaque"}
    for form in ("by type", "tlv", "json"):
        def every():
            for resource, own in single.items():
                kind = own if form == "by type" else form
                status, said, _ = ask("GET", f"/33555/0/{resource}?format={kind}")
                want(status == 200 and said["node"].get("value") == SAMPLER[resource], (resource, kind, said))
        name = "text and opaque" if form == "by type" else form
        cases.case(f"Read a Resource of every type, {name}", every)

    def missing():
        status, said, coap = ask("GET", "/33555/7")
        want(status == 404 and coap == "4.04", (status, said, coap))
        status, said, coap = ask("GET", "/33555/0/8")
        want(status == 405 and coap == "4.05", (status, said, coap))

    cases.case("Read what is not there, 4.04; what is executable, 4.05", missing)

    written = {"0": "größer", "1": 2**40, "2": -0.1, "3": False, "4": "AAEC", "5": 0, "6": "33555:0",
               "7": {"1": 7}}

    for form in ("Server's choice", "tlv", "json", "by type"):
        def write():
            # What was there comes back first, so that each format is seen to write.
            first = {key: value for key, value in SAMPLER.items() if key in written}
            for values_of, chosen in ((first, ""), (written, form)):
                for resource, value in values_of.items():
                    kind = {"Server's choice": "", "by type": single.get(resource, "tlv")}.get(chosen, chosen)
                    body = {"values": value} if resource == "7" else {"value": value}
                    path = f"/33555/0/{resource}" + (f"?format={kind}" if kind else "")
                    status, said, coap = ask("PUT", path, body)
                    want(status == 204 and coap == "2.04", (resource, kind, status, said, coap))
            status, said, _ = ask("GET", "/33555/0?format=tlv")
            got = {key: value for key, value in values(said["node"]).items() if key in written}
            want(got == written, got)

        name = {"Server's choice": "our Server's choice", "by type": "text and opaque"}.get(form, form)
        cases.case(f"Write a Resource of every type, {name}", write)

    def partial():
        body = {"resources": [{"id": 0, "value": "second"}, {"id": 1, "value": 5}]}
        status, said, coap = ask("PATCH", "/33555/0", body)
        want(status == 204 and coap == "2.04", (status, said, coap))
        got = values(ask("GET", "/33555/0")[1]["node"])
        want(got["0"] == "second" and got["1"] == 5 and got["6"] == "33555:0", got)

    cases.case("Write an instance, partial update", partial)

    def replace():
        body = {"resources": [{"id": 0, "value": "third"}, {"id": 2, "value": 9.25}]}
        status, said, coap = ask("PUT", "/33555/0", body)
        want(status == 204 and coap == "2.04", (status, said, coap))
        got = values(ask("GET", "/33555/0")[1]["node"])
        want(got["0"] == "third" and got["2"] == 9.25, got)

    cases.case("Write an instance, replace", replace)

    def refused():
        # /33555/0/9 is read-only by its definition, and the Server does not even ask; /3/0/0 too.
        status, said, coap = ask("PUT", "/3/0/0", {"value": "x"})
        want(status in (400, 405), (status, said, coap))

    cases.case("Write what is read-only is refused", refused)

    def large():
        text = "0123456789" * 300
        status, said, coap = ask("PUT", "/33555/0/0", {"value": text})
        want(status == 204 and coap == "2.04", (status, said, coap))
        status, said, _ = ask("GET", "/33555/0/0")
        want(said["node"]["value"] == text, "what was read is not what was written")
        ask("PUT", "/33555/0/0", {"value": "short"})

    cases.case("Write and Read 3000 bytes, block by block", large)

    def execute():
        since = client.mark()
        status, said, coap = ask("POST", "/33555/0/8", {"arguments": "0='x',1"})
        want(status == 204 and coap == "2.04", (status, said, coap))
        client.wait(r"event executed /33555/0/8 0='x',1", since)
        since = client.mark()
        status, said, coap = ask("POST", "/33555/0/8")
        want(status == 204, (status, said, coap))
        client.wait("event executed /33555/0/8", since)

    cases.case("Execute, with arguments and without", execute)

    def discover():
        for path, expected in (("/3303", "/3303/0/5700"), ("/3303/0", "/3303/0/5700"), ("/3303/0/5700", "/3303/0/5700")):
            status, said, coap = ask("GET", path + "/discover")
            want(status == 200 and coap == "2.05", (status, said, coap))
            want(expected in [one["path"] for one in said["links"]], said)

    cases.case("Discover of object, instance and Resource", discover)

    def standard(number, writes, more=lambda: None):
        """Every operation on an Object of the standard that no other case does there."""
        def run():
            status, said, coap = ask("GET", f"/{number}/discover")
            want(status == 200 and f"/{number}/0" in [one["path"] for one in said["links"]], (status, said))
            path, value = writes
            status, said, coap = ask("POST", f"{path}/observe")
            want(status == 200 and coap == "2.05", (status, said, coap))
            status, said, coap = ask("PUT", path, {"value": value})
            want(status == 204 and coap == "2.04", (status, said, coap))
            server.notified(ep, path, value)
            want(ask("DELETE", f"{path}/observe")[0] in (200, 204), "not cancelled")
            more()
            want(ask("GET", path)[1]["node"]["value"] == value, "not there any more")
        return run

    def reboot():
        since = client.mark()
        status, said, coap = ask("POST", "/3/0/4")
        want(status == 204 and coap == "2.04", (status, said, coap))
        client.wait("event executed /3/0/4", since)
        status, said, coap = ask("DELETE", "/3/0")
        want(status == 405 and coap in (None, "4.05"), (status, said, coap))

    cases.case("Object 1: Discover, Observe, Write, notification, cancel", standard(1, ("/1/0/6", True)))
    cases.case("Object 3: Discover, Observe, Write, notification, cancel, Execute; Delete refused",
               standard(3, ("/3/0/14", "+05:30"), reboot))

    def thermometer():
        status, said, coap = ask("POST", "/3303/observe")
        want(status == 200 and coap == "2.05", (status, said, coap))
        client.ask("temperature 20.5")
        server.until(lambda: [1 for _, data in server.events(ep, "notified")
                              if data["path"] == "/3303" and "20.5" in json.dumps(data)], 8, "no notification of /3303")
        want(ask("DELETE", "/3303/observe")[0] in (200, 204), "not cancelled")
        for method, path, body in (("PUT", "/3303/0/5700", {"value": 1.0}), ("POST", "/3303/0/5700", None)):
            status, said, coap = ask(method, path, body)
            want(status in (400, 405), (method, status, said, coap))

    cases.case("Object 3303: Observe the Object, notification, cancel; Write and Execute of the value refused", thermometer)

    def observe():
        status, said, coap = ask("POST", "/3303/0/5700/observe")
        want(status == 200 and coap == "2.05", (status, said, coap))
        client.ask("temperature 22.5")
        server.notified(ep, "/3303/0/5700", 22.5)
        client.ask("temperature 23.5")
        server.notified(ep, "/3303/0/5700", 23.5)
        seen = [data["node"]["value"] for kind, data in server.events(ep, "notified") if data["path"] == "/3303/0/5700"]
        want(seen[-2:] == [22.5, 23.5], seen)

    cases.case("Observe a Resource, notifications", observe)

    def cancel():
        status, said, coap = ask("DELETE", "/3303/0/5700/observe?by=observe")
        want(status == 200 and coap == "2.05", (status, said, coap))
        client.ask("temperature 24.5")
        time.sleep(0.7)
        want(not ask("GET", "/observations")[1]["observations"], ask("GET", "/observations")[1])

    cases.case("Cancel by Observe 1", cancel)

    def reset():
        status, said, _ = ask("POST", "/3303/0/observe")
        want(status == 200, (status, said))
        client.ask("temperature 25.5")
        time.sleep(0.5)
        status, said, coap = ask("DELETE", "/3303/0/observe?by=reset")
        want(status == 204, (status, said, coap))
        # This one is answered with Reset, and no further one leaves the Client.
        client.ask("temperature 26.5")
        time.sleep(0.7)
        seen = [kind for kind, _ in server.events(ep, "notified")]
        client.ask("temperature 27.5")
        time.sleep(0.5)
        want(len(server.events(ep, "notified")) == len(seen), "notifications go on")

    cases.case("Observe an instance, cancel by Reset", reset)

    def attributes():
        status, said, coap = ask("PUT", "/3303/0/5700/attributes?pmin=1&pmax=60&gt=40.5&lt=10.5")
        want(status == 204 and coap == "2.04", (status, said, coap))

    def told(value, within=8):
        client.ask(f"temperature {value}")
        server.notified(ep, "/3303/0/5700", value, within)
        time.sleep(1.1)  # pmin

    def kept():
        status, said, coap = ask("POST", "/3303/0/5700/observe")
        want(status == 200, (status, said))
        told(41.5)
        client.ask("temperature 42.5")
        time.sleep(0.3)
        told(9.5)
        seen = [data["node"]["value"] for _, data in server.events(ep, "notified") if data["path"] == "/3303/0/5700"]
        want(42.5 not in seen, f"told above the threshold: {seen}")
        status, said, coap = ask("GET", "/3303/0/5700/discover")
        want(status == 200 and "40.5" in json.dumps(said), (status, said))

    def back():
        told(39.5, 1)
        want(ask("DELETE", "/3303/0/5700/observe")[0] in (200, 204), "not cancelled")

    leshan1 = (r"not implemented.*5\.00", "Its Client has no Write-Attributes and answers 5.00 \"not implemented\"",
               road.packets)
    leshan2 = ("no notification", "Its Client tells of a rise through gt and a fall through lt, and of no way back: after 9.5 "
               "it is silent about 39.5, which crosses lt; nothing is sent")
    if cases.case("Write-Attributes", attributes, leshan1 if line == 1 else None) and line == 2:
        cases.case("Observe with attributes: gt, lt and pmin are kept, Discover shows them", kept)
        cases.case("Observe with attributes: the way back through lt is told", back, leshan2)
        ask("DELETE", "/3303/0/5700/observe")

    def blocks():
        text = "9876543210" * 300
        want(ask("POST", "/33555/0/0/observe")[0] == 200, "not observed")
        want(ask("PUT", "/33555/0/0", {"value": text})[0] == 204, "not written")
        server.notified(ep, "/33555/0/0", text)
        want(ask("DELETE", "/33555/0/0/observe")[0] in (200, 204), "not cancelled")
        ask("PUT", "/33555/0/0", {"value": "short"})

    cases.case("Observe a Resource, a notification of 3000 bytes in blocks", blocks)

    def create():
        status, said, coap = ask("POST", "/33555", {"id": 5, "resources": [{"id": 0, "value": "made"}]})
        want(status == 201 and coap == "2.01" and said["path"] == "/33555/5", (status, said, coap))
        want(ask("GET", "/33555/5/0")[1]["node"]["value"] == "made", "not there")
        server.until(lambda: 5 in server.client(ep)["objects"]["33555"]["instances"], 8, "no Update told of /33555/5")

    cases.case("Create with an ID; the Update tells of it", create)

    def create_free():
        status, said, coap = ask("POST", "/33555", {"resources": [{"id": 0, "value": "free"}]})
        want(status == 201 and coap == "2.01" and said["path"].startswith("/33555/"), (status, said, coap))
        want(ask("GET", said["path"] + "/0")[1]["node"]["value"] == "free", "not there")

    cases.case("Create without an ID", create_free)

    def delete():
        since = client.mark()
        status, said, coap = ask("DELETE", "/33555/5")
        want(status == 204 and coap == "2.02", (status, said, coap))
        client.wait("event deleted /33555/5", since)
        want(ask("GET", "/33555/5")[0] == 404, "still there")

    cases.case("Delete", delete)

    def lifetime():
        status, said, coap = ask("PUT", "/1/0/1", {"value": 120})
        want(status == 204 and coap == "2.04", (status, said, coap))
        server.until(lambda: server.client(ep)["lifetime_s"] == 120, 8, "no Update with the new lifetime")

    cases.case("Write the lifetime; the Update tells of it", lifetime)

    def trigger():
        since = client.mark()
        status, said, coap = ask("POST", "/1/0/8")
        want(status == 204 and coap == "2.04", (status, said, coap))
        client.wait("event updated", since)

    cases.case("Execute the Registration Update Trigger", trigger)

    def forgotten():
        since = client.mark()
        want(ask("DELETE", "")[0] == 204, "cannot be forgotten")
        client.ask("update")
        # The Update is answered 4.04, and the Client registers anew (TS 5.3.2).
        client.wait("event update_failed", since)
        client.wait("event registered", since, 20)
        server.registered(ep)

    cases.case("Update of a forgotten registration, 4.04, then Register", forgotten)

    def deregister():
        since = client.mark()
        client.ask("stop")
        client.wait("event deregistered", since)
        server.until(lambda: server.client(ep) is None, 5, "still registered")
        want([kind for kind, _ in server.events(ep, "deregistered")], "no event")

    cases.case("De-register", deregister)
    client.end()


def sleeping(kit, cases, server, command, line):
    ep = f"leshan-{line}-q"
    client = start(kit, command, server.uri, ep, 30, "UQ")

    def queue():
        client.wait("event registered")
        seen = server.registered(ep)
        want(seen["queue"], seen)
        server.until(lambda: server.client(ep)["presence"] == "asleep", 15, "does not fall asleep")
        status, said, _ = server.call("PUT", f"/clients/{ep}/33555/0/0", {"value": "while you slept"})
        want(status == 202 and said["request"]["state"] == "queued", (status, said))
        client.ask("update")
        number = said["request"]["id"]

        def ended():
            status, said, _ = server.call("GET", f"/requests/{number}")
            want(status == 200, (status, said))
            return said["state"] == "completed"

        server.until(ended, 10, "the request does not end")
        status, said, _ = server.call("GET", f"/clients/{ep}/33555/0/0")
        want(status == 200 and said["node"]["value"] == "while you slept", (status, said))

    cases.case("Queue mode: a Write waits for the Update", queue)
    client.end()


def version6(kit, cases, server, command, line):
    ep = f"leshan-{line}-6"
    client = start(kit, command, server.uri6, ep)

    def over():
        client.wait("event registered")
        seen = server.registered(ep)
        want("::1" in json.dumps(seen), seen)
        status, said, _ = server.call("GET", f"/clients/{ep}/3/0/0")
        want(status == 200 and said["node"]["value"] == "Leshan", (status, said))
        want(server.call("POST", f"/clients/{ep}/3303/0/5700/observe")[0] == 200, "not observed")
        client.ask("temperature 22.5")
        server.notified(ep, "/3303/0/5700", 22.5)
        client.ask("stop")
        client.wait("event deregistered")

    cases.case("IPv6: Register, Read, Observe, De-register", over)
    client.end()
