// The shapes of /api/v1 as docs/reference describes them. What a server may leave out is optional here.

export type Presence = 'awake' | 'asleep' | 'overdue';

export interface Client {
  endpoint: string;
  registration_id: string;
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
  deviations?: Deviation[] | null;
}

/** Something the Server tolerated in this Client's messages; a sentence, or a code with one. */
export type Deviation = string | { code?: string; kind?: string; detail?: string; title?: string };

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
export interface Outcome {
  coap?: string;
  node?: Node;
  code?: string;
  title?: string;
  detail?: string;
  reason?: string;
}

export interface Link {
  path: string;
  attributes: Record<string, unknown>;
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
  request?: Request;
  [more: string]: unknown;
}
