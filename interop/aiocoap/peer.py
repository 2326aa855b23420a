"""A Client made of nothing but aiocoap, with no LwM2M below it: driven by lines as Leshan's are, it says
what it is told to say and answers from a few resources. See interop/cases/raw_client.py.

  peer.py PORT SERVER_URI

Commands: `request METHOD PATH?QUERY [FORMAT TEXT|links:N]`, `temperature NUMBER`.
"""

import asyncio
import json
import sys

import aiocoap
from aiocoap import resource

TLV, JSON, TEXT, LINK = 11542, 11543, 0, 40


def say(line):
    print(line, flush=True)


def content(text, form=TEXT):
    return aiocoap.Message(code=aiocoap.CONTENT, payload=text.encode(), content_format=form)


def acceptable(request, *forms):
    return request.opt.accept is None or request.opt.accept in forms


class Instance(resource.Resource):
    """An instance that only knows the JSON of LwM2M 1.0."""

    def __init__(self, path, resources):
        super().__init__()
        self.path, self.resources = path, resources

    async def render_get(self, request):
        if request.opt.accept == LINK:
            links = [f"<{self.path}>"] + [f"<{self.path}/{number}>" for number in self.resources]
            return content(",".join(links), LINK)
        if not acceptable(request, JSON):
            return aiocoap.Message(code=aiocoap.NOT_ACCEPTABLE)
        records = []
        for number, one in self.resources.items():
            value = one.value
            records.append({"n": str(number), "v" if isinstance(value, float) else "sv": value})
        return content(json.dumps({"bn": self.path + "/", "e": records}), JSON)


class Value(resource.ObservableResource):
    """A Resource as text."""

    def __init__(self, path, value):
        super().__init__()
        self.path, self.value = path, value

    async def render_get(self, request):
        if not acceptable(request, TEXT):
            return aiocoap.Message(code=aiocoap.NOT_ACCEPTABLE)
        return content(str(self.value))

    def update_observation_count(self, count):
        say(f"event observers {self.path} {count}")


class Writable(Value):
    async def render_put(self, request):
        if request.opt.content_format not in (TEXT, None):
            return aiocoap.Message(code=aiocoap.UNSUPPORTED_CONTENT_FORMAT)
        self.value = request.payload.decode()
        say(f"event written {self.path} {len(self.value)}")
        return aiocoap.Message(code=aiocoap.CHANGED)


class Slow(Value):
    """Takes so long that the acknowledgement goes first and the answer by itself (RFC 7252 5.2.2)."""

    async def render_get(self, request):
        await asyncio.sleep(0.5)
        return await super().render_get(request)


class Executable(resource.Resource):
    def __init__(self, path):
        super().__init__()
        self.path = path

    async def render_post(self, request):
        say(f"event executed {self.path} {request.payload.decode()}")
        return aiocoap.Message(code=aiocoap.CHANGED)


async def main():
    port, server = int(sys.argv[1]), sys.argv[2]
    temperature = Value("/3303/0/5700", 21.5)
    values = {
        "3/0/0": Value("/3/0/0", "aiocoap"),
        "3/0/1": Slow("/3/0/1", "slow"),
        "3303/0/5700": temperature,
        "3303/0/5701": Value("/3303/0/5701", "Cel"),
        "33555/0/0": Writable("/33555/0/0", "first"),
        "33555/0/8": Executable("/33555/0/8"),
    }
    site = resource.Site()
    for path, one in values.items():
        site.add_resource(path.split("/"), one)
    site.add_resource(["3", "0"], Instance("/3/0", {0: values["3/0/0"]}))
    sensor = Instance("/3303/0", {5700: temperature, 5701: values["3303/0/5701"]})
    site.add_resource(["3303", "0"], sensor)
    context = await aiocoap.Context.create_server_context(site, bind=("127.0.0.1", port))
    say("event listening")
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := (await lines.readline()).decode().rstrip("\n"):
        words = line.split(" ", 4)
        if words[0] == "temperature":
            temperature.value = float(words[1])
            temperature.updated_state()
            say("answer done")
        elif words[0] == "request":
            say("answer " + await ask(context, server, *words[1:]))
        else:
            say("answer unknown")
    await context.shutdown()


async def ask(context, server, method, target, form=None, text=""):
    if text.startswith("links:"):
        text = ",".join(["</1/0>", "</3/0>"] + [f"</3303/{one}>" for one in range(int(text[6:]))])
    request = aiocoap.Message(code=getattr(aiocoap, method), uri=server + target, payload=text.encode())
    if form is not None:
        request.opt.content_format = int(form)
    try:
        answer = await asyncio.wait_for(context.request(request).response, 20)
    except (aiocoap.error.Error, asyncio.TimeoutError) as error:
        return f"failed {error!r}"
    location = "/".join(answer.opt.location_path)
    return f"{answer.code.dotted} /{location} {answer.payload.decode(errors='replace')}"


asyncio.run(main())
