// A Client or a Server made of nothing but the coap of npm, with no LwM2M below it, driven by lines: the Client as
// interop/aiocoap/peer.py, the Server as that of Californium. See interop/cases/raw_*.py.
//
//   node peer.mjs client PORT SERVER_URI | node peer.mjs server PORT

import { createRequire } from "node:module";
import { createSocket } from "node:dgram";
import { createInterface } from "node:readline";

// What was fetched is in the folder that this variable names; `import` does not look there.
const coap = createRequire(process.env.DUNLIN_INTEROP_NODE + "/")("coap");
const TEXT = 0, LINK = 40, JSON_1_0 = 11543, PATIENCE_MS = 20_000;

const say = (line) => process.stdout.write(line.replaceAll("\n", " ") + "\n");
// The library knows a few formats by name, and takes and gives the others as numbers.
const number = (form) => ({ "text/plain": TEXT, "application/link-format": LINK })[form] ?? (form === undefined ? null : +form);
const octets = (value) => (value < 256 ? Buffer.of(value) : Buffer.of(value >> 8, value & 255));

const [role, port, uri] = process.argv.slice(2);
const socket = createSocket("udp4");
await new Promise((bound) => socket.bind(+port, "127.0.0.1", bound));
// One socket for both ways, as a Client has it.
const agent = new coap.Agent({ socket });
const server = coap.createServer();

function answer(response, code, text = "", form = TEXT) {
  response.code = code;
  if (code === "2.05") response.setOption("Content-Format", octets(form));
  response.end(text);
}

/** Sends a request and gives its answer. The format is that of the payload, or `accept:NUMBER`, or nothing. */
function send(method, address, form, text, more = {}) {
  const to = new URL(address);
  const options = {};
  if (form?.startsWith("accept:")) options.Accept = octets(+form.slice(7));
  else if (form !== undefined) options["Content-Format"] = octets(+form);
  const request = coap.request({ hostname: to.hostname, port: to.port, pathname: to.pathname, query: to.search.slice(1), method,
                                 agent, options, ...more });
  return new Promise((good, bad) => {
    setTimeout(() => bad(new Error("timeout")), PATIENCE_MS).unref();
    request.on("response", good).on("error", bad);
    const body = expanded(text ?? "");
    // The library cuts a body into blocks when it is told their size: 2 to the power of 4 + 4.
    if (body.length > 1024) request.setOption("Block1", Buffer.of(4));
    request.end(body);
  });
}

function expanded(text) {
  if (!text.startsWith("links:")) return text;
  const links = Array.from({ length: +text.slice(6) }, (_, one) => `</3303/${one}>`);
  return ["</1/0>", "</3/0>", ...links].join(",");
}

function shown(response, payload) {
  const at = response.options.filter((one) => one.name === "Location-Path").map((one) => String(one.value).replace(/^\//, ""));
  const form = number(response.headers["Content-Format"]);
  const body = form === 11542 || form === 42 ? payload.toString("hex") : payload.toString();
  return `${response.code} /${at.join("/")} ${body}`;
}

const ask = async (...words) => {
  const response = await send(...words);
  return shown(response, response.payload);
};

// ---- the Client

const values = { "/3/0/0": "coap of npm", "/3/0/1": "slow", "/3303/0/5700": "21.5", "/3303/0/5701": "Cel", "/33555/0/0": "first" };
const instances = { "/3/0": ["0"], "/3303/0": ["5700", "5701"] };
const observers = new Set();

function client(request, response) {
  const path = request.url.split("?")[0];
  const accept = number(request.headers.Accept);
  const takes = (form) => accept === null || accept === form;
  if (request.method === "POST" && path === "/33555/0/8") {
    say(`event executed ${path} ${request.payload}`);
    return answer(response, "2.04");
  }
  if (request.method === "PUT" && path === "/33555/0/0") {
    if (![null, TEXT].includes(number(request.headers["Content-Format"]))) return answer(response, "4.15");
    values[path] = request.payload.toString();
    say(`event written ${path} ${values[path].length}`);
    return answer(response, "2.04");
  }
  if (request.method !== "GET") return answer(response, "4.04");
  if (path in instances) return instance(path, takes, accept, response);
  if (!(path in values)) return answer(response, "4.04");
  if (!takes(TEXT)) return answer(response, "4.06");
  if (request.headers.Observe === 0) {
    observers.add(response);
    say(`event observers ${path} ${observers.size}`);
    response.on("finish", () => {
      if (observers.delete(response)) say(`event observers ${path} ${observers.size}`);
    });
    response.setOption("Content-Format", octets(TEXT));
    response.write(values[path]);
  } else if (request.headers.Observe === 1) {
    for (const one of observers) one.end();
    answer(response, "2.05", values[path]);
  } else {
    // Later than the library waits before it acknowledges by itself (RFC 7252 5.2.2).
    setTimeout(() => answer(response, "2.05", values[path]), path === "/3/0/1" ? 400 : 0);
  }
}

/** An instance that only knows the JSON of LwM2M 1.0. */
function instance(path, takes, accept, response) {
  const ids = instances[path];
  if (accept === LINK) {
    return answer(response, "2.05", [`<${path}>`, ...ids.map((id) => `<${path}/${id}>`)].join(","), LINK);
  }
  if (!takes(JSON_1_0)) return answer(response, "4.06");
  const e = ids.map((n) => (n === "5700" ? { n, v: +values[`${path}/${n}`] } : { n, sv: values[`${path}/${n}`] }));
  answer(response, "2.05", JSON.stringify({ bn: `${path}/`, e }), JSON_1_0);
}

function temperature(value) {
  values["/3303/0/5700"] = value;
  for (const one of observers) one.write(value);
  return "done";
}

// ---- the Server

const registered = new Map();
const observed = new Map();

function directory(request, response) {
  const [path, query = ""] = request.url.split("?");
  const name = new URLSearchParams(query).get("ep");
  const location = path.match(/^\/rd\/(.+)$/)?.[1];
  if (request.method === "POST" && path === "/rd") {
    if (!name) return answer(response, "4.00");
    registered.set(name, `coap://${request.rsinfo.address}:${request.rsinfo.port}`);
    response.setOption("Location-Path", `rd/${name}`);
    say(`event registered ${name} ${query} ${request.payload}`);
    answer(response, "2.01");
  } else if (request.method === "POST" && registered.has(location)) {
    say(`event updated ${location}`);
    answer(response, "2.04");
  } else if (request.method === "DELETE" && registered.delete(location)) {
    say(`event deregistered ${location}`);
    answer(response, "2.02");
  } else {
    answer(response, "4.04");
  }
}

async function observe(name, path) {
  const token = Buffer.from(path).subarray(-8);
  const stream = await send("GET", registered.get(name) + path, undefined, "", { observe: true, token });
  observed.set(path, { stream, token, address: registered.get(name) + path });
  let first;
  const said = new Promise((told) => (first = told));
  stream.on("data", (data) => {
    if (first) first = void first(shown(stream, data));
    else say(`event notified ${path} ${shown(stream, data)}`);
  });
  return said;
}

/** Cancels, by a GET with Observe 1, or by the Reset that the library sends for what nobody waits for. */
async function cancel(path, by) {
  const { stream, token, address } = observed.get(path);
  observed.delete(path);
  stream.close();
  return by === "forget" ? "done" : (await send("GET", address, undefined, "", { options: { Observe: Buffer.of(1) }, token })).code;
}

// ---- both

async function obey(line) {
  const words = line.split(" ");
  const rest = (from) => (words.length > from ? words.slice(from).join(" ") : undefined);
  if (words[0] === "temperature") return temperature(words[1]);
  if (words[0] === "observe") return observe(words[1], words[2]);
  if (words[0] === "cancel" || words[0] === "forget") return cancel(words[1], words[0]);
  if (words[0] !== "request") return "unknown";
  return role === "client"
    ? ask(words[1], uri + words[2], words[3], rest(4))
    : ask(words[1], registered.get(words[2]) + words[3], words[4], rest(5));
}

server.on("request", role === "client" ? client : directory);
server.listen(socket, () => say("event listening"));
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => obey(line).then((said) => say(`answer ${said}`), (fault) => say(`answer failed ${fault}`)));
lines.on("close", () => process.exit(0));
