"""What the cases share: peers and where they come from, processes, our REST, the table."""

import json
import os
import queue
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CACHE = HERE / ".cache"
DDF = [ROOT / "crates/dunlin-lwm2m/objects/3303-1.0.xml", HERE / "objects/33555.xml"]



def pinned(peer, version):
    """The version of a peer. Another one can be tried by DUNLIN_INTEROP_PEER=VERSION in the environment."""
    return os.environ.get(f"DUNLIN_INTEROP_{peer}", version)


# "2-bootstrap" is the last milestone of Leshan 2 whose Bootstrap-Server the registry has.
LESHAN = {1: pinned("LESHAN1", "1.5.0"), 2: pinned("LESHAN2", "2.0.0-M18"),
          "2-bootstrap": pinned("LESHAN2_BOOTSTRAP", "2.0.0-M15")}
CALIFORNIUM = pinned("CALIFORNIUM", "3.14.0")
AIOCOAP = pinned("AIOCOAP", "0.4.17")
NODE_COAP = pinned("NODE_COAP", "1.5.0")
# What interop/java and interop/leshan share, beside the Peer.java of each.
LESHAN_SOURCES = {1: ["Values", "Requests", "Given"], 2: ["Values", "Requests"], "2-bootstrap": ["Given"]}

# No process of a trial outlives this, whatever happens to us.
LIFE_S = 420
# How many times as long as on a machine of its own anything is waited for: a virtual machine of Java that starts
# beside other work is slow, and what comes at once is not waited for any longer.
PATIENCE = 4


class Skipped(Exception):
    """The peer cannot be had here, and why."""


class Failed(Exception):
    """A case went another way than it should."""


def want(condition, said):
    if not condition:
        raise Failed(said if isinstance(said, str) else json.dumps(said)[:400])


class Table:
    """Rows of peer, version, direction, case, result and remark, in parts that are filled side by side."""

    def __init__(self):
        self.parts = []
        print(f"{'result':<8} {'peer':<18} {'direction':<10} case", flush=True)

    def part(self):
        self.parts.append(Part())
        return self.parts[-1]

    def rows(self):
        return [row for part in self.parts for row in part.rows]

    def skipped(self):
        return list(dict.fromkeys(one for part in self.parts for one in part.skipped))

    def count(self, result):
        return sum(row[4] == result for row in self.rows())

    def summary(self):
        print(f"\n{self.count('ok')} good, {self.count('peer')} failed because of the peer,"
              f" {self.count('FAIL')} failed, {len(self.skipped())} peers skipped")
        for row in self.rows():
            if row[4] == "FAIL":
                print(f"  failed {' '.join(row[:4])}: {row[5]}")
        for peer, reason in self.skipped():
            print(f"  skipped {peer}: {reason}")

    def write(self, path):
        lines = [
            "# Interoperability",
            "",
            "What dunlin and other people's stacks say to each other, case by case. This page is written by",
            "`interop/run --write-docs`; `./test` runs the same cases. \"To us\" means that the peer's Client talks to",
            "our Server, \"from us\" that our Client talks to the peer's Server. `ok`: both sides saw what the standard",
            "says. `peer`: the case fails because of the peer, and the remark says how, with the packet that shows it.",
            "",
            "| peer | version | direction | case | result | remark |",
            "| --- | --- | --- | --- | --- | --- |",
        ]
        for row in self.rows():
            lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
        if self.skipped():
            lines += ["", "Skipped in this run:", ""]
            lines += [f"- {peer}: {reason}" for peer, reason in self.skipped()]
        path.write_text("\n".join(lines) + "\n" + (HERE / "notes.md").read_text())


class Part:
    def __init__(self):
        self.rows, self.skipped = [], []

    def add(self, result, peer, version, direction, case, remark="", took=0.0):
        self.rows.append((peer, version, direction, case, result, remark))
        line = f"{result:<8} {peer + ' ' + version:<18} {direction:<10} {case}" + (f" ({took:.1f} s)" if took > 2 else "")
        print(line + (f"\n         {remark}" if remark else ""), flush=True)

    def skip(self, peer, reason):
        self.skipped.append((peer, reason))
        print(f"skipped  {peer}: {reason}", flush=True)


class Cases:
    """The cases of one peer in one direction."""

    def __init__(self, table, peer, version, direction):
        self.table, self.peer, self.version, self.direction = table, peer, version, direction

    def case(self, name, run, peer_fault=None):
        """`peer_fault`: a pattern and a remark, if this peer is known to fail here and not through us, and what gives
        the packets, if there is one. Only a failure that is told by these words counts as the peer's; every other
        one is ours."""
        began = time.monotonic()
        try:
            remark = run() or ""
            result = "ok"
        except (Failed, OSError, queue.Empty, KeyError, IndexError, TypeError) as fault:
            told = f"{type(fault).__name__}: {fault}"[:500]
            known = peer_fault and re.search(peer_fault[0], told)
            packets = "".join(packet() for packet in peer_fault[2:]) if known else ""
            result, remark = ("peer", peer_fault[1] + packets) if known else ("FAIL", told)
        took = time.monotonic() - began
        self.table.add(result, self.peer, self.version, self.direction, name, remark, took)
        return result == "ok"


class Process:
    """A program that is driven by lines."""

    def __init__(self, command, life=LIFE_S, **more):
        self.lines = []
        self.arrived = threading.Condition()
        self.process = subprocess.Popen(
            ["timeout", "-k", "2", str(life), *map(str, command)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, bufsize=1, **more)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            with self.arrived:
                self.lines.append(line.rstrip("\n"))
                self.arrived.notify_all()

    def mark(self):
        with self.arrived:
            return len(self.lines)

    def wait(self, pattern, since=0, within=15):
        """The first line since the mark that matches."""
        end = time.monotonic() + within * PATIENCE
        with self.arrived:
            while True:
                for line in self.lines[since:]:
                    if re.search(pattern, line):
                        return line
                left = end - time.monotonic()
                if left <= 0:
                    raise Failed(f"no line like {pattern[:80]!r}; heard {[line[:120] for line in self.lines[since:][-6:]]}")
                self.arrived.wait(left)

    def ask(self, command, within=15):
        """Says a line and gives its answer."""
        since = self.mark()
        self.say(command)
        return self.wait("^answer ", since, within)[len("answer "):]

    def say(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def interrupt(self):
        """As Ctrl-C does; `timeout` hands it on."""
        self.process.send_signal(signal.SIGINT)

    def end(self, patience=5):
        try:
            self.process.stdin.close()
        except OSError:
            pass
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.process.terminate()
            try:
                self.process.wait(3)
            except subprocess.TimeoutExpired:
                self.process.kill()


class Dunlin:
    """Our Server, on free ports of the loopback with a fresh data folder."""

    def __init__(self, kit, *options, environment=()):
        self.folder = tempfile.mkdtemp(prefix="dunlin-interop-")
        self.coap, self.http = free_port(socket.SOCK_DGRAM), free_port(socket.SOCK_STREAM)
        self.uri, self.uri6 = f"coap://127.0.0.1:{self.coap}", f"coap://[::1]:{self.coap}"
        environment = {**os.environ, "DUNLIN__SERVER__AWAKE_WINDOW_S": "3", **dict(environment)}
        self.process = kit.start([kit.dunlin, "serve", "--data", self.folder + "/data", "--coap",
                                  f"127.0.0.1:{self.coap}", "--coap", f"[::1]:{self.coap}", "--http", f"127.0.0.1:{self.http}", *options],
                                 env=environment)
        kit.folders.append(self.folder)
        self.process.wait("ready: ", within=40)
        for file in DDF:
            self.put_definition(file)

    def put_definition(self, file):
        status, said, _ = self.raw("PUT", "/objects", file.read_bytes(), "application/xml")
        want(status in (200, 201, 204), f"definition {file.name}: {status} {said}")

    def raw(self, method, path, body=None, kind="application/json"):
        request = urllib.request.Request(f"http://127.0.0.1:{self.http}/api/v1{path}", data=body, method=method)
        request.add_header("Content-Type", kind)
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    def call(self, method, path, body=None):
        """Status, JSON and the CoAP code that the Client has answered with."""
        data = None if body is None else json.dumps(body).encode()
        status, said, headers = self.raw(method, path, data)
        try:
            said = json.loads(said) if said else None
        except ValueError:
            pass
        return status, said, headers.get("Dunlin-Coap")

    def client(self, endpoint):
        status, said, _ = self.call("GET", f"/clients/{endpoint}")
        return said if status == 200 else None

    def registered(self, endpoint, within=15):
        return self.until(lambda: self.client(endpoint), within, f"{endpoint} does not register")

    def until(self, condition, within, complaint):
        end = time.monotonic() + within * PATIENCE
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(0.1)
        raise Failed(complaint)

    def events(self, endpoint, types):
        """What the log holds of an endpoint, oldest first."""
        address = (f"http://127.0.0.1:{self.http}/api/v1/events?after=start&types={types}&endpoint={endpoint}")
        events, kind = [], None
        try:
            with urllib.request.urlopen(address, timeout=1.0) as stream:
                for line in stream:
                    line = line.decode().rstrip("\n")
                    if line.startswith("event: "):
                        kind = line[7:]
                    elif line.startswith("data: "):
                        events.append((kind, json.loads(line[6:])))
        except (TimeoutError, OSError):
            pass  # The stream has no end; what is there has come.
        return events

    def notified(self, endpoint, path, value, within=8):
        def there():
            status, said, _ = self.call("GET", f"/clients/{endpoint}/observations")
            for one in said["observations"] if status == 200 else []:
                last = one["last"] and one["last"]["node"]
                if one["path"] == path and last and last.get("value") == value:
                    return one
            return None

        return self.until(there, within, f"no notification of {path} with {value}")


class Lossy:
    """A road on the loopback that loses datagrams: in each direction the ones whose number, counted from
    1, leaves `left` when divided by `of`. The same ones in every run. It remembers the last of each direction."""

    def __init__(self, kit, to, of=4, left=2):
        self.to, self.of, self.left = to, of, left
        self.lost = self.carried = 0
        self.near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.near.bind(("127.0.0.1", 0))
        self.port = self.near.getsockname()[1]
        self.far = {}
        self.counts = {"up": 0, "down": 0}
        self.last = {"up": b"", "down": b""}
        self.open = True
        kit.running.append(self)
        threading.Thread(target=self._up, daemon=True).start()

    def _passes(self, direction, data):
        self.counts[direction] += 1
        self.last[direction] = data
        lost = self.counts[direction] % self.of == self.left
        self.lost, self.carried = self.lost + lost, self.carried + (not lost)
        return not lost

    def _up(self):
        while self.open:
            data, source = self.near.recvfrom(65_536)
            if source not in self.far:
                far = self.far[source] = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                far.connect(("127.0.0.1", self.to))
                threading.Thread(target=self._down, args=(far, source), daemon=True).start()
            if self._passes("up", data):
                self.far[source].send(data)

    def _down(self, far, source):
        while self.open:
            try:
                data = far.recv(65_536)
            except ConnectionError:
                continue
            if self._passes("down", data):
                self.near.sendto(data, source)

    def packets(self):
        """The last words of both, for a case that fails because of the peer."""
        def shown(data):
            return data.hex() if len(data) <= 80 else f"{data[:80].hex()}… ({len(data)} bytes)"

        return f"; asked {shown(self.last['down'])}, answered {shown(self.last['up'])}"

    def end(self, patience=0):
        # The threads wait in the kernel and end with the process.
        self.open = False


def free_port(kind):
    with socket.socket(socket.AF_INET, kind) as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Kit:
    def __init__(self, dunlin, device):
        self.dunlin, self.device = dunlin, device
        self.running, self.folders = [], []
        CACHE.mkdir(exist_ok=True)

    def start(self, command, **more):
        process = Process(command, **more)
        self.running.append(process)
        return process

    def end_all(self):
        for process in reversed(self.running):
            process.end(2)
        for folder in self.folders:
            shutil.rmtree(folder, ignore_errors=True)
        self.running, self.folders = [], []

    def jars(self, name, project, version, what):
        """The folder with the jars that a Maven project wants, fetched once."""
        for program in ("java", "javac", "mvn"):
            if not shutil.which(program):
                raise Skipped(f"{program} is not installed (Debian: openjdk-17-jdk-headless, maven)")
        return fetched(f"{name}-{version}", what, lambda partial: [
            "mvn", "-q", "-B", "-f", project, "dependency:copy-dependencies", "-DincludeScope=runtime",
            f"-Dpeer.version={version}", f"-DoutputDirectory={partial}"])

    def compiled(self, jars, *sources):
        """The folder with the classes of a peer, made again when one of its sources is newer."""
        sources = [*sources, *(HERE / "java").glob("*.java")]
        classes = CACHE / f"classes-{jars.name}"
        built = classes / "Peer.class"
        with one_at_a_time(classes.name):
            if not built.exists() or built.stat().st_mtime < max(one.stat().st_mtime for one in sources):
                classes.mkdir(exist_ok=True)
                subprocess.run(["javac", "-nowarn", "-cp", f"{jars}/*", "-d", str(classes), *map(str, sources)], check=True)
        return classes

    def leshan(self, line):
        """The command that starts a peer out of Leshan's libraries."""
        jars = self.jars(f"leshan{line}", HERE / f"leshan/leshan{line}.xml", LESHAN[line], f"Leshan {LESHAN[line]}")
        shared = [HERE / f"leshan/{name}.java" for name in LESHAN_SOURCES[line]]
        classes = self.compiled(jars, HERE / f"leshan/{line}/Peer.java", *shared)
        return ["java", "-Xmx256m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*:{classes}", "Peer"]

    def californium(self):
        """The command that starts a peer out of Californium alone."""
        jars = self.jars("californium", HERE / "californium/pom.xml", CALIFORNIUM, f"Californium {CALIFORNIUM}")
        classes = self.compiled(jars, HERE / "californium/Peer.java")
        return ["java", "-Xmx128m", "-XX:TieredStopAtLevel=1", "-cp", f"{jars}/*:{classes}", "Peer"]

    def aiocoap(self):
        """The command that starts the peer out of aiocoap, and its environment."""
        place = fetched(f"aiocoap-{AIOCOAP}", f"aiocoap {AIOCOAP}", lambda partial: [
            sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", partial, f"aiocoap=={AIOCOAP}"])
        return [sys.executable, HERE / "aiocoap/peer.py"], {**os.environ, "PYTHONPATH": str(place)}

    def node(self):
        """The command that starts the peer out of the coap of npm, and its environment."""
        for program in ("node", "npm"):
            if not shutil.which(program):
                raise Skipped(f"{program} is not installed (Debian: nodejs, npm)")
        place = fetched(f"node-coap-{NODE_COAP}", f"coap {NODE_COAP} of npm", lambda partial: [
            "npm", "install", "--prefix", partial, "--loglevel", "error", "--no-audit", "--no-fund", "--ignore-scripts",
            f"coap@{NODE_COAP}"])
        return ["node", HERE / "node/peer.mjs"], {**os.environ, "DUNLIN_INTEROP_NODE": str(place)}

    def program(self, name, package):
        found = shutil.which(name)
        if not found:
            raise Skipped(f"{name} is not installed (Debian: {package})")
        return found

    def libcoap_version(self):
        said = subprocess.run([self.libcoap()], capture_output=True, text=True, timeout=10).stderr
        return next((word.strip("v,") for word in said.split() if word.startswith("v4")), "4")

    def libcoap(self, role="client"):
        program = shutil.which(f"coap-{role}-notls") or shutil.which(f"coap-{role}")
        if not program:
            raise Skipped(f"coap-{role} is not installed (Debian: libcoap3-bin)")
        return program


LOCKS, LOCKS_GUARD = {}, threading.Lock()


def one_at_a_time(name):
    """The lock of a folder in the cache: suites run side by side and may want the same peer."""
    with LOCKS_GUARD:
        return LOCKS.setdefault(name, threading.Lock())


def fetched(name, what, command):
    """The folder of the cache with a peer, fetched if it is not there by `command(FOLDER)`."""
    place = CACHE / name
    # One Maven at a time, because they share a repository that is made for one; the others do not wait for it.
    with one_at_a_time("maven" if name.startswith(("leshan", "californium")) else name):
        if not place.is_dir():
            partial = place.with_name(name + ".partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            fetch(command(partial), what)
            partial.rename(place)
    return place


def fetch(command, what):
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=300)
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise Skipped(f"{what} could not be fetched: {fault}") from None
    if done.returncode != 0:
        said = re.sub(r"\x1b\[[\d;]*m", "", done.stdout + done.stderr)
        missing = re.search(r"Could not find artifact (\S+)|(\S+:jar:\S+) was not found", said)
        lines = said.strip().splitlines() or ["no reason given"]
        reason = f"no {missing[1] or missing[2]}" if missing else re.sub(r"https?://\S+", "…", lines[0])[:300]
        raise Skipped(f"{what} could not be fetched: {reason}")
