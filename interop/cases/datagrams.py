"""Datagrams that no polite stack sends, against our Server: RFC 7252 §4.2, §4.3, §5.4.1, §3."""

import socket

from kit import Cases, Dunlin, want

# Confirmable, so that what is no message may be rejected with Reset or passed over (RFC 7252 §4.2).
MALFORMED = {
    "an empty datagram": "",
    "three bytes": "400112",
    "version 0": "0001aa01",
    "version 2": "8001aa02",
    "a token of nine bytes": "4901aa03000102030405060708",
    "a token that is cut off": "4801aa0401",
    "an empty message with a token": "4100aa0501",
    "an empty message with more": "4000aa06b27264",
    "an option that is cut off": "4001aa07b5726400",
    "an option delta of 15": "4001aa08f0",
    "an option length of 15": "4001aa09bf",
    "a length that is cut off": "4001aa0abd",
    "a payload marker and nothing": "4001aa0bb27264ff",
    "class 1": "4021aa0c",
    "class 6": "40c1aa0d",
    "class 7": "40e1aa0e",
    "options beyond all numbers": "4001aa0fe0fffee0fffee0fffe",
}


def run(kit, table):
    cases = Cases(table, "datagrams", "RFC 7252", "to us")
    server = Dunlin(kit)
    line = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    line.connect(("127.0.0.1", server.coap))

    def send(text, patience=0.4):
        line.send(bytes.fromhex(text))
        line.settimeout(patience)
        try:
            return line.recv(2048).hex()
        except TimeoutError:
            return None

    def malformed():
        for name, text in MALFORMED.items():
            heard = send(text, 0.15)
            want(heard in (None, "7000" + text[4:8]), f"{name}: {heard}")
        want(send("4001bb01b1" + "78", 3)[2:4] == "84", "it does not answer any more")

    cases.case(f"{len(MALFORMED)} messages that are none: Reset or silence, and it goes on", malformed)

    def answers(text, expected):
        def run():
            heard = send(text, 3)
            want(heard is not None and heard.startswith(expected), f"heard {heard}, wanted {expected}")
        return run

    cases.case("Ping, Reset", answers("4000cc01", "7000cc01"))
    cases.case("A Confirmable answer nobody asked for, Reset", answers("4145cc0277", "7000cc02"))
    cases.case("An acknowledgement nobody waits for, silence",
               lambda: want(send("6000cc03") is None, "an answer to an acknowledgement"))
    cases.case("A Reset of nothing, silence", lambda: want(send("7000cc04") is None, "an answer to a Reset"))
    # Option 9 is critical and nobody's; 2050 would be elective.
    cases.case("A critical option that is unknown, 4.02", answers("4102cc0577" + "9178" + "227264", "6182cc0577"))
    cases.case("An elective option that is unknown is passed over, 4.04",
               answers("4101cc0677" + "b178" + "e106ea00", "6184cc0677"))
    cases.case("A path that is no UTF-8, 4.0x", answers("4101cc0777" + "b2fffe", "618"))
    cases.case("A method that is unknown, 4.05", answers("4108cc0877" + "b27264", "6185cc0877"))
    cases.case("Proxy-Uri, 5.05", answers("4101cc0977" + "da16" + b"coap://h/x".hex(), "61a5cc0977"))

    def twice():
        # POST /rd?ep=twice&lt=60&lwm2m=1.0 with </1/0>,</3/0>: a Register.
        def option(delta, value):
            length = len(value)
            small = bytes([delta << 4 | length]) if length < 13 else bytes([delta << 4 | 13, length - 13])
            return small + value
        body = (option(11, b"rd") + option(1, bytes([40])) + option(3, b"ep=twice") + option(0, b"lt=60")
                + option(0, b"lwm2m=1.0") + b"\xff</1/0>,</3/0>")
        text = "4102cc1077" + body.hex()
        first = send(text, 3)
        want(first and first.startswith("6141cc1077"), f"heard {first}")
        want(send(text, 3) == first, "another answer to the same message")
        want(len(server.events("twice", "registered")) == 1, "registered twice")

    cases.case("The same Register twice: one registration, the same answer", twice)
    line.close()
