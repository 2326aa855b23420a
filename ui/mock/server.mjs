// A stand-in for the dunlin server:
// `node mock/server.mjs [--port 8090] [--token SECRET] [--clients 0] [--turn MS] [--rhythm AWAKE_S,ASLEEP_S] [--minutes N]`.
// It serves the built UI and the part of /api/v1 that the UI uses, from memory, so that the UI can be developed and
// photographed without the Rust server. It imitates answers, not protocol: values are kept as they are written.
import { createServer } from 'node:http';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { definitions } from './definitions.mjs';
import { clients, definition, fresh, listen, log, notify, readNode, run, tell, view } from './world.mjs';

const flag = (name, otherwise) => {
  const at = process.argv.indexOf(`--${name}`);
  return at < 0 ? otherwise : process.argv[at + 1];
};
const port = Number(flag('port', 8090));
const token = flag('token', '');
const assets = new URL('../../crates/dunlin-api/assets/', import.meta.url);
const types = { html: 'text/html; charset=utf-8', js: 'text/javascript', css: 'text/css', svg: 'image/svg+xml' };
if (flag('clients', '') === '0') clients.length = 0;
const sleeper = clients.find((c) => c.queue);
if (sleeper) [sleeper.awake_s, sleeper.asleep_s] = flag('rhythm', '14,26').split(',').map(Number);

// Credentials, profiles and runs, as they are shown: keys are dropped at the door.
const credentials = new Map([
  ['lamp-corridor', [{ id: '1f00aa01', mode: 'psk', for: 'both', identity: 'lamp-corridor', added_at: new Date(Date.now() - 86400e3).toISOString() }]],
  ['haus 7/heizung', [
    { id: '2b00aa02', mode: 'rpk', for: 'server', fingerprint: 'sha256:f9b839d2079a9d07ffa8022e0d82bd65c2476625c7348e234c1b51c67b4f64f6', added_at: new Date(Date.now() - 3600e3).toISOString() },
    { id: '2b00aa03', mode: 'psk', for: 'bootstrap', identity: 'urn:uuid:6e1d1c2a-heizung', added_at: new Date(Date.now() - 7200e3).toISOString() },
  ]],
  ['meter-0412', [{ id: '3c00aa04', mode: 'x509', for: 'both', fingerprint: 'sha256:6b2e662169a87b89dbc83c18de1bdc859c787437b4da480ed456620c8ef6b18c', subject: 'urn:dev:meter-0412', not_after: '2036-11-21T18:41:33.000Z', added_at: new Date(Date.now() - 60e3).toISOString() }]],
]);
const profiles = [
  { name: 'fleet', discover: true, remove: 'accounts', servers: [{ short_server_id: 1, uri: 'coaps://lwm2m.example.com', keys: { mode: 'psk', made: true } }] },
  { name: 'lamps', pattern: 'lamp-*', discover: true, remove: 'accounts', servers: [{ short_server_id: 1, uri: 'coap://10.0.0.2', keys: { mode: 'nosec' } }] },
];
const step = (operation, path, code = '2.04') => ({ operation, path, outcome: 'done', code });
const runs = [
  { id: 'r3', endpoint: 'meter-0412', initiator: 'client', profile: 'fleet', address: '198.51.100.7:40112', security: 'psk', started_at: new Date(Date.now() - 30e3).toISOString(), ended_at: new Date(Date.now() - 27e3).toISOString(), state: 'failed', failure: 'inconsistent', reason: 'the Client finds its new configuration inconsistent (4.06 to Finish) and keeps the old one', version: '1.0', steps: [step('discover', '/', '2.05'), step('delete', '/0', '2.02'), step('write', '/0/1'), step('write', '/1/0'), { operation: 'finish', path: '/', outcome: 'refused', code: '4.06' }] },
  { id: 'r2', endpoint: 'lamp-corridor', initiator: 'server', profile: 'fleet', address: '127.0.0.1:40111', security: 'psk', started_at: new Date(Date.now() - 3600e3).toISOString(), ended_at: new Date(Date.now() - 3599e3).toISOString(), state: 'succeeded', failure: null, reason: null, version: '1.0', steps: [step('discover', '/', '2.05'), step('write', '/0/1'), step('finish', '/')] },
];
const offered = { mode: 'rpk', fingerprint: 'sha256:0d1c2b3a4958677685948372615f4e3d2c1b0a99887766554433221100ffeedd' };

function profile(req, res, name, query, body) {
  const at = profiles.findIndex((one) => one.name === name);
  if (req.method === 'DELETE') {
    profiles.splice(at, 1);
    return send(res, 204);
  }
  if (req.method !== 'PUT') return send(res, 200, { profiles });
  if (!body.servers?.every((one) => /^coaps?:/.test(one.uri ?? ''))) throw new Problem(400, 'profile_invalid', 'The profile cannot be used', 'servers[0].uri: expected coap:// or coaps://.');
  const servers = body.servers.map((one) => ({ ...one, keys: one.keys.mode === 'nosec' ? { mode: 'nosec' } : { mode: one.keys.mode, made: !one.keys.key } }));
  const put = { name, ...body, servers };
  if (query.get('dry_run') !== 'true') profiles.splice(at < 0 ? profiles.length : at, at < 0 ? 0 : 1, put);
  return send(res, 200, { profile: put, dry_run: query.get('dry_run') === 'true', replaced: at >= 0, warnings: [] });
}
function planFor(endpoint, by) {
  const [server] = profiles.find((one) => one.name === by).servers;
  const security = [
    { path: '/0/1/0', name: 'LWM2M  Server URI', value: server.uri },
    { path: '/0/1/2', name: 'Security Mode', value: server.keys.mode === 'psk' ? 0 : 3 },
    { path: '/0/1/3', name: 'Public Key or Identity', value: Buffer.from(endpoint).toString('base64'), text: endpoint },
    { path: '/0/1/5', name: 'Secret Key', secret_bytes: 16 },
  ];
  return { endpoint, profile: by, steps: [{ operation: 'discover', path: '/' }, { operation: 'delete', path: '/0' }, { operation: 'write', path: '/0/1', values: security }, { operation: 'write', path: '/1/0', values: [{ path: '/1/0/1', name: 'Lifetime', value: 86400 }] }, { operation: 'finish', path: '/' }] };
}

function security(req, res, parts, query, body) {
  const [noun, name, id] = parts.map((part) => (part.startsWith('~') ? Buffer.from(part.slice(1), 'base64url').toString() : decodeURIComponent(part)));
  if (noun === 'server') return send(res, 200, { public_key: '-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEnoRKmXh5gzpCFpZnZtgq5Vgg0IKu\n6MS8ysyQGkDFlpJ4jpvgbz9dWzOsbQ7uEJwNFR2BV+MFdM5CK+AE6G5+fw==\n-----END PUBLIC KEY-----\n', public_key_fingerprint: 'sha256:f9b839d2079a9d07ffa8022e0d82bd65c2476625c7348e234c1b51c67b4f64f6', certificate: null, certificate_fingerprint: null });
  if (noun === 'profiles') return profile(req, res, name, query, body);
  if (noun === 'bootstrap' && name === 'plan') return send(res, 200, planFor(id, query.get('profile')));
  if (noun === 'bootstrap') return send(res, 200, { runs: runs.filter((r) => !query.get('endpoint') || r.endpoint === query.get('endpoint')) });
  if (!name) {
    const q = (query.get('q') ?? '').toLowerCase();
    const endpoints = [...credentials].filter(([endpoint, list]) => list.length && endpoint.toLowerCase().includes(q)).map(([endpoint, list]) => ({ endpoint, credentials: list }));
    return send(res, 200, { endpoints, next: null, total: [...credentials.values()].flat().length });
  }
  const list = credentials.get(name) ?? [];
  if (req.method === 'DELETE') {
    credentials.set(name, list.filter((one) => id && one.id !== id));
    return send(res, 204);
  }
  const [one] = body.credentials;
  if (one.mode === 'psk' && !/^[0-9a-f]{16,}$/i.test(one.key ?? '')) throw new Problem(400, 'credential_invalid', 'A credential is not well formed', 'The key is neither hexadecimal (an even number of digits) nor base64.');
  list.push({ id: fresh(8).toLowerCase(), mode: one.mode, for: one.for, ...(one.mode === 'psk' ? { identity: one.identity ?? name } : { fingerprint: one.public_key ?? one.certificate, subject: one.subject }), added_at: new Date().toISOString() });
  credentials.set(name, list);
  return send(res, 200, { endpoint: name, credentials: list });
}

// Who was refused, gathered from the events that tell of it.
const knocks = [];
listen(({ type, data }) => {
  if (type !== 'refused') return;
  const [known] = knocks;
  if (known) Object.assign(known, { count: known.count + 1, last_at: data.at });
  else knocks.push({ address: data.address, endpoint: data.endpoint, reason: data.reason, remedy: data.remedy, offered, count: 1, first_at: data.at, last_at: data.at });
});

class Problem extends Error {
  constructor(status, code, title, detail, coap) {
    super(title);
    this.body = { type: `https://dunlin.invalid/errors/${code}`, title, status, code, detail, remedy: '', ...(coap ? { coap } : {}) };
  }
}
const send = (res, status, body, headers = {}) => {
  const text = body === undefined ? '' : JSON.stringify(body);
  res.writeHead(status, { 'content-type': status >= 400 ? 'application/problem+json' : 'application/json', 'cache-control': 'no-store', ...headers });
  res.end(text);
};
const readBody = async (req) => {
  let text = '';
  for await (const chunk of req) text += chunk;
  if (!text) return {};
  try {
    return JSON.parse(text);
  } catch (e) {
    throw new Problem(400, 'body_malformed', 'The body is not JSON', e.message);
  }
};
const findClient = (segment) => {
  const name = segment.startsWith('~') ? Buffer.from(segment.slice(1), 'base64url').toString() : decodeURIComponent(segment);
  const client = clients.find((c) => c.endpoint === name);
  if (!client) throw new Problem(404, 'client_unknown', 'No such Client', `No Client named "${name}" is registered.`);
  return client;
};

// ---- operations, as data first so that they can wait in a queue ----

const names = { read: 'Read', write: 'Write', execute: 'Execute', create: 'Create', delete: 'Delete', discover: 'Discover', write_attributes: 'Write-Attributes', observe: 'Observe', cancel_observation: 'Cancel Observation' };
const words = (request) => ({ id: request.id, endpoint: request.endpoint, operation: names[request.operation], path: request.path, state: request.state, created_at: request.created_at, expires_at: request.expires_at, ended_at: request.ended_at ?? null, outcome: request.outcome ?? null });

function perform(c, operation, path, body) {
  const [o, i, r] = path;
  const d = definition(o)?.resources.find((x) => x.id === r);
  const missing = () => new Problem(404, 'path_not_found', 'The Client has nothing at this path', `/${path.join('/')} does not exist on ${c.endpoint}.`, '4.04');
  const notAllowed = (what) => new Problem(405, 'method_not_allowed', 'The Client does not allow this', `${what} is not possible on /${path.join('/')}.`, '4.05');
  switch (operation) {
    case 'read': {
      if (d && !d.operations.includes('R')) throw notAllowed('Read');
      const node = readNode(c, path);
      if (!node) throw missing();
      return { status: 200, coap: '2.05', body: { path: `/${path.join('/')}`, at: new Date().toISOString(), node } };
    }
    case 'write': {
      if (d && !d.operations.includes('W')) throw notAllowed('Write');
      if (!c.tree[o]?.[i]) throw missing();
      if (d?.range && d.type === 'integer') {
        const [low, high] = d.range.split('..').map(Number);
        if (body.value < low || body.value > high) throw new Problem(400, 'client_bad_request', 'The Client calls the request bad', `${body.value} is outside ${d.range}.`, '4.00');
      }
      for (const one of body.resources ?? [{ id: r, ...body }]) c.tree[o][i][one.id] = one.values ?? one.value;
      if (c.observed.includes(path.join('/'))) setTimeout(notify, 150, c, path.join('/'));
      return { status: 204, coap: '2.04' };
    }
    case 'execute':
      if (!d?.operations.includes('E')) throw notAllowed('Execute');
      if (r === 5605) Object.assign(c.tree[o][i], { 5601: c.tree[o][i][5700], 5602: c.tree[o][i][5700] });
      return { status: 204, coap: '2.04' };
    case 'create': {
      if (!definition(o)?.multiple) throw notAllowed('Create');
      const instances = (c.tree[o] ??= {});
      const id = body.id ?? Math.max(-1, ...Object.keys(instances).map(Number)) + 1;
      if (instances[id]) throw new Problem(400, 'client_bad_request', 'The Client calls the request bad', `/${o}/${id} exists already.`, '4.00');
      instances[id] = Object.fromEntries((body.resources ?? []).map((x) => [x.id, x.values ?? x.value]));
      c.updated_at = Date.now();
      tell('updated', { endpoint: c.endpoint, changes: { objects: view(c).objects } });
      return { status: 201, coap: '2.01', body: { path: `/${o}/${id}` } };
    }
    case 'delete':
      if (o <= 3) throw notAllowed('Delete');
      if (!c.tree[o]?.[i]) throw missing();
      delete c.tree[o][i];
      tell('updated', { endpoint: c.endpoint, changes: { objects: view(c).objects } });
      return { status: 204, coap: '2.02' };
    case 'discover': {
      const links = [];
      const attributes = (p) => c.links[p] ?? {};
      const walk = (p) => links.push({ path: `/${p}`, attributes: attributes(p) });
      if (r !== undefined) walk(`${o}/${i}/${r}`);
      else if (i !== undefined) {
        walk(`${o}/${i}`);
        for (const rid of Object.keys(c.tree[o]?.[i] ?? {})) walk(`${o}/${i}/${rid}`);
      } else {
        walk(`${o}`);
        for (const iid of Object.keys(c.tree[o] ?? {})) walk(`${o}/${iid}`);
      }
      return { status: 200, coap: '2.05', body: { path: `/${path.join('/')}`, links } };
    }
    case 'write_attributes':
      c.links[path.join('/')] = { ...c.links[path.join('/')], ...Object.fromEntries(Object.entries(body).map(([k, v]) => [k, v === '' ? undefined : Number(v)])) };
      return { status: 204, coap: '2.04' };
    case 'observe': {
      const node = readNode(c, path);
      if (!node) throw missing();
      if (!c.observed.includes(path.join('/'))) c.observed.push(path.join('/'));
      c.lastValues[path.join('/')] = { at: new Date().toISOString(), node };
      return { status: 200, coap: '2.05', body: { path: `/${path.join('/')}`, at: new Date().toISOString(), node } };
    }
    case 'cancel_observation':
      c.observed = c.observed.filter((p) => p !== path.join('/'));
      return { status: 204, coap: '2.05' };
  }
}

function end(c, request) {
  request.ended_at = new Date().toISOString();
  try {
    const done = perform(c, request.operation, request.parts, request.body);
    Object.assign(request, { state: 'completed', outcome: { coap: done.coap, ...(done.body?.node && { node: done.body.node }), ...(done.body?.links && { links: done.body.links }), problem: null } });
  } catch (problem) {
    if (!problem.body) throw problem;
    Object.assign(request, { state: 'failed', outcome: { coap: problem.body.coap ?? null, problem: problem.body } });
  }
  tell('completed', { endpoint: c.endpoint, path: request.path, request: words(request) });
}
/** A Client woke: one request after the other, as queue mode hands them out. */
function settle(c) {
  const next = c.requests.find((x) => x.state === 'queued');
  if (!next || c.presence !== 'awake') return;
  next.state = 'sent';
  setTimeout(() => {
    if (next.state === 'sent') end(c, next);
    settle(c);
  }, 700);
}

function submit(res, c, operation, parts, body, query) {
  const now = Date.now();
  if (c.presence === 'overdue') throw new Problem(504, 'client_timeout', 'The Client did not answer', 'Four transmissions in 2 s, no answer. It is overdue since its registration should have been refreshed.');
  if (c.presence === 'asleep' || query.get('wait') === '0') {
    const request = { id: fresh(12).toLowerCase(), endpoint: c.endpoint, operation, path: `/${parts.join('/')}`, parts, body, state: 'queued', created_at: new Date(now).toISOString(), expires_at: new Date(now + 3.6e6).toISOString() };
    c.requests.push(request);
    if (c.presence === 'awake') setTimeout(settle, 1200, c);
    return send(res, 202, { request: words(request) }, { location: `/api/v1/requests/${request.id}` });
  }
  const done = perform(c, operation, parts, body);
  c.lastAt = now;
  setTimeout(() => send(res, done.status, done.status === 204 ? undefined : done.body, { 'dunlin-coap': done.coap }), 60 + Math.random() * 120);
}

// ---- routes ----

function events(req, res, query) {
  const wanted = query.get('types')?.split(',').filter(Boolean);
  const endpoint = query.get('endpoint');
  const matches = (e) => (!wanted || wanted.includes(e.type)) && (!endpoint || e.data.endpoint === endpoint);
  const write = (e) => matches(e) && res.write(`${e.position ? `id: ${e.position}\n` : ''}event: ${e.type}\ndata: ${JSON.stringify(e.data)}\n\n`);
  res.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  res.write(': hello\n\n');
  const after = req.headers['last-event-id'] ?? query.get('after');
  if (after) {
    const number = after === 'start' ? 0 : Number(after.slice(1).split('.')[0]);
    if (after !== 'start' && log.length && number < log[0].number - 1) res.write(`event: gap\ndata: ${JSON.stringify({ after, at: new Date().toISOString() })}\n\n`);
    for (const e of log) if (e.number > number) write(e);
  }
  const beat = setInterval(() => res.write(': beat\n\n'), 10000);
  const stop = listen(write);
  req.on('close', () => (stop(), clearInterval(beat)));
}

async function api(req, res, url) {
  const query = url.searchParams;
  if (token && req.headers.authorization !== `Bearer ${token}`) throw new Problem(401, 'token_required', 'A token is needed', 'Send a token: Authorization: Bearer …');
  if (req.method !== 'GET' && !req.headers['content-type']?.startsWith('application/json')) throw new Problem(415, 'content_type', 'Mutating requests need Content-Type: application/json');
  const parts = url.pathname.slice('/api/v1/'.length).split('/');
  const body = req.method === 'GET' ? {} : await readBody(req);

  if (parts[0] === 'events') return events(req, res, query);
  if (parts[0] === 'objects') {
    if (parts.length === 1) return send(res, 200, { objects: definitions.map(({ id, version, name, multiple, mandatory }) => ({ id, version, name, multiple, mandatory })) });
    const d = definition(Number(parts[1]));
    if (!d) throw new Problem(404, 'object_unknown', 'No such definition', `Object ${parts[1]} has no definition here.`);
    return send(res, 200, d);
  }
  if (parts[0] === 'requests') {
    const all = clients.flatMap((c) => c.requests.map((r) => [c, r]));
    if (!parts[1]) return send(res, 200, { requests: all.map(([, r]) => words(r)) });
    const found = all.find(([, r]) => r.id === parts[1]);
    if (!found) throw new Problem(404, 'request_unknown', 'No such request');
    if (req.method !== 'DELETE') return send(res, 200, words(found[1]));
    if (found[1].state !== 'queued') throw new Problem(409, 'request_not_waiting', 'The request waits no longer', `Its state is ${found[1].state}.`);
    Object.assign(found[1], { state: 'cancelled', ended_at: new Date().toISOString() });
    tell('completed', { endpoint: found[0].endpoint, path: found[1].path, request: words(found[1]) });
    return send(res, 200, words(found[1]));
  }
  if (['credentials', 'profiles', 'bootstrap', 'server'].includes(parts[0])) return security(req, res, parts, query, body);
  if (parts[0] === 'knocks') return send(res, 200, { knocks });
  if (parts[0] !== 'clients') throw new Problem(404, 'not_found', 'Nothing here');
  if (parts.length === 1) {
    const q = (query.get('q') ?? '').toLowerCase();
    const limit = Number(query.get('limit') ?? 50);
    const from = Number(query.get('cursor') ?? 0);
    const found = query.get('registered') === 'false' ? [] : clients.filter((c) => !q || c.endpoint.toLowerCase().includes(q) || c.address.includes(q)).sort((a, b) => (a.endpoint < b.endpoint ? -1 : 1));
    return send(res, 200, { clients: found.slice(from, from + limit).map(view), next: from + limit < found.length ? String(from + limit) : null });
  }
  const c = findClient(parts[1]);
  const rest = parts.slice(2);
  if (!rest.length) {
    if (req.method === 'GET') return send(res, 200, view(c));
    clients.splice(clients.indexOf(c), 1);
    tell('deregistered', { endpoint: c.endpoint, registration_id: c.registration_id, forgotten: true });
    return send(res, 204);
  }
  if (rest[0] === 'observations') return send(res, 200, { observations: c.observed.map((p) => ({ path: `/${p}`, since: new Date(c.registered_at).toISOString(), notifications: c.notifications?.[p] ?? 0, last: c.lastValues[p] ? { path: `/${p}`, ...c.lastValues[p] } : null })) });
  if (rest[0] === 'requests') return send(res, 200, { requests: c.requests.map(words) });

  const action = Number.isNaN(Number(rest.at(-1))) ? rest.pop() : null;
  const path = rest.map(Number);
  if (path.some(Number.isNaN)) throw new Problem(404, 'not_found', 'Nothing here');
  const operation =
    action === 'discover' ? 'discover'
    : action === 'attributes' ? 'write_attributes'
    : action === 'observe' ? (req.method === 'DELETE' ? 'cancel_observation' : 'observe')
    : { GET: 'read', PUT: 'write', PATCH: 'write', DELETE: 'delete', POST: path.length === 1 ? 'create' : 'execute' }[req.method];
  if (operation === 'read' && query.get('cached') === 'true') {
    const node = readNode(c, path);
    if (!node || c.neverRead) throw new Problem(404, 'value_unknown', 'No value is known', `Nothing has been read at /${path.join('/')} yet.`);
    return send(res, 200, { path: `/${path.join('/')}`, at: new Date(c.lastAt).toISOString(), node });
  }
  submit(res, c, operation, path, operation === 'write_attributes' ? Object.fromEntries([...query].filter(([k]) => !['wait', 'timeout_s'].includes(k))) : body, query);
}

createServer(async (req, res) => {
  const url = new URL(req.url, 'http://127.0.0.1');
  try {
    if (url.pathname.startsWith('/api/v1/')) return await api(req, res, url);
    const name = url.pathname === '/' ? 'index.html' : url.pathname.slice(1);
    const file = fileURLToPath(new URL(name, assets));
    if (!file.startsWith(fileURLToPath(assets))) return send(res, 404, {});
    const bytes = await readFile(file);
    res.writeHead(200, { 'content-type': types[name.split('.').pop()] ?? 'application/octet-stream' });
    res.end(bytes);
  } catch (error) {
    if (error.body) send(res, error.body.status, error.body);
    else if (error.code === 'ENOENT') send(res, 404, {});
    else {
      console.error(error);
      send(res, 500, new Problem(500, 'internal', 'The mock failed', String(error)).body);
    }
  }
}).listen(port, '127.0.0.1', () => console.log(`mock on http://127.0.0.1:${port}/`));
run(settle, Number(flag('turn', 1000)));
// Never outlives its purpose: a forgotten mock ends by itself.
setTimeout(() => process.exit(0), Number(flag('minutes', 240)) * 60e3).unref();
