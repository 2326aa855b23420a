// The shapes of /api/v1 as docs/reference describes them. What a server may leave out is optional here.

export type Presence = 'awake' | 'asleep' | 'overdue';

export interface Client {
  endpoint: string;
  registration_id: string | null;
  registered_at: string;
  updated_at: string;
  expires_at: string;
  expired_at?: string | null;
  last_contact_at?: string | null;
  next_contact_at?: string | null;
  lifetime_s: number;
  version: string;
  binding: string;
  queue: boolean;
  sms_number?: string | null;
  address: string;
  bearer: string;
  security: 'nosec' | 'psk' | 'rpk' | 'x509';
  identity?: string | null;
  root?: string | null;
  objects: Record<string, { version: string; instances: number[] }>;
  presence: Presence;
  /** It sent more than it may, in the last ten minutes, and what was beyond was dropped. */
  over_budget?: OverBudget | null;
  deviations?: Deviation[] | null;
  /** Parameters of the Register that LwM2M does not define. */
  attributes?: Record<string, string> | null;
}

export interface OverBudget {
  since: string;
  last_at: string;
  dropped: number;
}

/** Something the Server tolerated in this Client's messages. */
export interface Deviation {
  code: string;
  sentence: string;
}

export type ResourceType =
  | 'string'
  | 'integer'
  | 'float'
  | 'boolean'
  | 'opaque'
  | 'time'
  | 'objlnk'
  | 'unsigned'
  | 'corelnk'
  | 'none';

export type Scalar = string | number | boolean | null;

export interface ResourceNode {
  kind: 'resource';
  id: number;
  name?: string;
  type?: ResourceType;
  unit?: string | null;
  value?: Scalar;
  values?: Record<string, Scalar>;
}
export interface InstanceNode {
  kind: 'instance';
  id: number;
  resources: ResourceNode[];
}
export interface ObjectNode {
  kind: 'object';
  id: number;
  name?: string;
  instances: InstanceNode[];
}
export type Node = ResourceNode | InstanceNode | ObjectNode;

/** What a Read answers, and what an observation last said. */
export interface Reading {
  path: string;
  at: string;
  node: Node;
}

/** What is observed, since when, and what it last said. */
export interface Observation {
  path: string;
  since: string | null;
  notifications: number;
  last: Reading | null;
}

/** A Node to be written: nothing in it that the definition says already. */
export interface Written {
  id?: number;
  value?: Scalar;
  values?: Record<string, Scalar>;
  resources?: { id: number; value?: Scalar; values?: Record<string, Scalar> }[];
}

export interface ResourceDefinition {
  id: number;
  name: string;
  operations: string;
  multiple: boolean;
  mandatory: boolean;
  type: ResourceType;
  range: string | null;
  unit: string | null;
  description: string;
}
export interface ObjectDefinition {
  id: number;
  version: string;
  name: string;
  description: string;
  multiple: boolean;
  mandatory: boolean;
  resources: ResourceDefinition[];
}

export type RequestState = 'queued' | 'sent' | 'completed' | 'failed' | 'cancelled' | 'expired' | 'unknown';

export interface Request {
  id: string;
  endpoint: string;
  operation: string;
  path: string;
  state: RequestState;
  created_at: string;
  expires_at?: string | null;
  ended_at?: string | null;
  outcome?: Outcome | null;
}
/** How a request ended: the Client's answer, or why there is none. */
export interface Outcome {
  coap: string | null;
  node?: Node;
  links?: Link[];
  created?: string;
  problem: { code: string; title: string; detail: string; remedy?: string; coap?: string } | null;
}

export interface Link {
  path: string;
  attributes: Record<string, unknown>;
}

/** Refusals of one kind from one place. */
export interface Knock {
  address: string;
  endpoint: string | null;
  reason: string;
  remedy: string | null;
  /** What it showed of itself. */
  offered?: { mode: 'psk' | 'rpk' | 'x509'; identity?: string; fingerprint?: string; subject?: string } | null;
  count: number;
  first_at: string;
  last_at: string;
}

export type Doors = 'server' | 'bootstrap' | 'both';

/** A credential, without its key. */
export interface Credential {
  id: string;
  mode: 'psk' | 'rpk' | 'x509';
  for: Doors;
  identity?: string;
  identity_hex?: string;
  fingerprint?: string;
  subject?: string;
  not_after?: string;
  added_at: string;
}
export interface EndpointCredentials {
  endpoint: string;
  credentials: Credential[];
  warnings?: string[];
}
export interface NewCredential {
  mode: 'psk' | 'rpk' | 'x509';
  for: Doors;
  identity?: string;
  key?: string;
  public_key?: string;
  certificate?: string;
  subject?: string;
}

/** A profile of the Bootstrap-Server: what forms and tables know of it. */
export interface Profile {
  name: string;
  endpoint?: string;
  pattern?: string;
  servers: ProfileServer[];
  [more: string]: unknown;
}
export interface ProfileServer {
  short_server_id: number;
  uri: string;
  keys: { mode: string; made?: boolean; [more: string]: unknown };
  lifetime_s?: number;
  binding?: string;
  [more: string]: unknown;
}
export interface ProfilePut {
  dry_run: boolean;
  replaced: boolean;
  warnings: string[];
}
/** What a Client would be given, before it is. */
export interface Plan {
  endpoint: string;
  profile: string;
  steps: { operation: string; path: string; values?: { path: string; name: string | null; value?: unknown; text?: string; secret_bytes?: number }[] }[];
}
export interface BootstrapRun {
  id: string;
  endpoint: string;
  initiator: 'client' | 'server';
  profile: string;
  address: string;
  security: string;
  started_at: string;
  ended_at: string | null;
  state: 'running' | 'succeeded' | 'failed';
  failure: string | null;
  reason: string | null;
  steps: { operation: string; path: string; outcome: string | null; code: string | null }[];
}
export interface ServerIdentity {
  public_key: string;
  public_key_fingerprint: string;
  certificate: string | null;
  certificate_fingerprint: string | null;
}

export const eventTypes = [
  'registered',
  'updated',
  'deregistered',
  'expired',
  'awake',
  'asleep',
  'notified',
  'sent',
  'completed',
  'bootstrapped',
  'bootstrap_failed',
  'refused',
] as const;
export type EventType = (typeof eventTypes)[number];

export interface EventData {
  endpoint?: string;
  at?: string;
  path?: string;
  node?: Node;
  measured_at?: string;
  readings?: Reading[];
  request?: Request;
  [more: string]: unknown;
}
