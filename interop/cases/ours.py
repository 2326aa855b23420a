"""Our own Client as the cases drive it: the program `dunlin client` that people start, or the example
`device`, which also does on demand what a person waits for (an Update, sleep after three seconds)."""

import tempfile
import time
from pathlib import Path

from kit import DDF, HERE

OBJECTS = f"""
[[object]]
id = 3303
resource = [
  {{ id = 5601, value = 1.0 }},
  {{ id = 5602, value = 40.0 }},
  {{ id = 5700, file = "FOLDER/temperature", every_s = 0.1 }},
  {{ id = 5701, value = "Cel" }},
]

[[object]]
ddf = "{HERE / 'objects/33555.xml'}"
resource = [
  {{ id = 0, value = "first" }},
  {{ id = 1, value = -70000 }},
  {{ id = 2, value = 2.5 }},
  {{ id = 3, value = true }},
  {{ id = 4, value = "AQL/" }},
  {{ id = 5, value = 1700000000 }},
  {{ id = 6, value = "3:0" }},
  {{ id = 7, value = [1, -300] }},
  {{ id = 8, run = ["true"] }},
  {{ id = 9, value = 0 }},
]
"""


class Device:
    name = "device"
    words = {"registered": "event Registered", "updated": "event Updated", "executed": "event Executed",
             "ended": "event ObservationEnded", "asleep": "event .*[Ss]leep"}

    def __init__(self, kit, uri, endpoint, lifetime=60, binding="U"):
        self.process = kit.start([kit.device, uri, endpoint, lifetime, binding, *DDF])

    def mark(self):
        return self.process.mark()

    def heard(self, what, since=0, within=15):
        return self.process.wait(self.words[what], since, within)

    def temperature(self, value):
        self.process.ask(f"temperature {value}")

    def update(self):
        self.process.ask("update")

    def end(self):
        self.process.end()


class Program(Device):
    name = "dunlin client"
    words = {"registered": "^registered with", "updated": "^told the server",
             "executed": "^executed by the server: /33555/0/8", "ended": "^no longer observed"}
    update = None

    def __init__(self, kit, uri, endpoint, lifetime=60, binding="U", more=()):
        self.folder = Path(tempfile.mkdtemp(prefix="dunlin-interop-"))
        kit.folders.append(str(self.folder))
        (self.folder / "temperature").write_text("21.5")
        (self.folder / "objects.toml").write_text(OBJECTS.replace("FOLDER", str(self.folder)))
        queue = ["--queue"] if "Q" in binding else []
        # A Client that is bootstrapped is told its lifetime.
        lives = ["--lifetime", lifetime] if lifetime else []
        self.process = kit.start([kit.dunlin, "client", "--server", uri, "--endpoint", endpoint, *lives, "--objects",
                                  self.folder / "objects.toml", *queue, *more])

    def temperature(self, value):
        # The old name until the new text is whole: it is read at any moment.
        (self.folder / "next").write_text(str(value))
        (self.folder / "next").rename(self.folder / "temperature")
        time.sleep(0.4)

    def end(self):
        self.process.interrupt()
        self.process.end()
