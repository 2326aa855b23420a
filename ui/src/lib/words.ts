// Events told in words: a verb for the label, a sentence for the line.
import { definitions } from './definitions.svelte';
import { duration, operationText, plural, requestText, securityText, sentence, unitText, valueText } from './format';
import type { FeedEvent } from './stream.svelte';
import type { Client, EventData, Node, Request } from './types';

export type Tone = 'good' | 'calm' | 'value' | 'warn' | 'bad';

const tones: Record<string, Tone> = {
  registered: 'good',
  updated: 'calm',
  deregistered: 'calm',
  expired: 'warn',
  awake: 'good',
  asleep: 'calm',
  notified: 'value',
  sent: 'value',
  completed: 'good',
  bootstrapped: 'good',
  bootstrap_failed: 'bad',
  refused: 'bad',
  over_budget: 'bad',
  gap: 'warn',
  skipped: 'warn',
};
const labels: Record<string, string> = { sent: 'send', bootstrap_failed: 'bootstrap failed' };

export const typeLabel = (type: string) => labels[type] ?? type.replaceAll('_', ' ');

export function tone({ type, data }: FeedEvent): Tone {
  const state = data.request?.state;
  if (type === 'completed' && state && state !== 'completed') return state === 'cancelled' ? 'calm' : 'bad';
  return tones[type] ?? 'calm';
}

const text = (value: unknown) => (typeof value === 'string' || typeof value === 'number' ? String(value) : '');

export interface Line {
  /** Before the value: what it is about. */
  lead: string;
  /** The value itself, set apart. */
  value: string;
  path: string;
}

export function line(event: FeedEvent): Line {
  const { type, data } = event;
  const plainLine = (lead: string): Line => ({ lead, value: '', path: '' });
  const client = data as Partial<Client>;
  switch (type) {
    case 'registered':
      return plainLine('registered' + (data['replaced'] ? ' anew' : '') + details(client));
    case 'updated':
      return plainLine(updated((data['changes'] ?? {}) as Partial<Client>));
    case 'deregistered':
      return plainLine(data['forgotten'] ? 'was forgotten by an operator' : 'de-registered');
    case 'expired':
      return plainLine('let its registration expire: no Update came within the lifetime');
    case 'awake':
      return plainLine('is awake');
    case 'asleep':
      return plainLine('sleeps; what is asked of it now waits');
    case 'notified':
      return reading('', data);
    case 'sent':
      return sentLine(data);
    case 'completed':
      return completed(data);
    case 'bootstrapped':
      return plainLine('was bootstrapped' + (text(data['summary']) ? `: ${text(data['summary'])}` : ''));
    case 'bootstrap_failed':
      return plainLine('could not be bootstrapped' + because(data));
    case 'refused':
      return plainLine('was refused' + because(data));
    case 'over_budget':
      return plainLine('sends more than it may; what is beyond its budget is dropped');
    case 'skipped':
      return plainLine('More happened than this page can follow. The events between here and those above are in the log.');
    case 'gap':
      return plainLine('Events before this one are older than the server keeps; they are gone from the log.');
    default:
      return plainLine(sentence(type) + because(data));
  }
}

function details(client: Partial<Client>): string {
  const parts = [];
  if (client.lifetime_s) parts.push(`for ${duration(client.lifetime_s * 1000)}`);
  if (client.address) parts.push(`from ${client.address}`);
  if (client.security) parts.push(securityText[client.security] ?? client.security);
  if (client.version) parts.push(`LwM2M ${client.version}`);
  if (client.objects) parts.push(plural(Object.keys(client.objects).length, 'object'));
  return parts.length ? ' ' + parts.join(', ') : '';
}

function updated(changes: Partial<Client>): string {
  const said = [];
  if (changes.lifetime_s) said.push(`its lifetime to ${duration(changes.lifetime_s * 1000)}`);
  if (changes.binding) said.push(`its binding to ${changes.binding}`);
  if (changes.sms_number) said.push(`its SMS number to ${changes.sms_number}`);
  if (changes.address) said.push(`its address to ${changes.address}`);
  if (changes.objects) said.push(`its objects: ${plural(Object.keys(changes.objects).length, 'object')} now`);
  return said.length ? `changed ${said.join(', ')}` : 'changed its registration';
}

function because(data: EventData): string {
  const from = text(data['address']) ? ` from ${text(data['address'])}` : '';
  const reason = text(data['reason']);
  const remedy = text(data['remedy']);
  return from + (reason ? `: ${reason}` : '') + (remedy ? ` To let it in: ${remedy}` : '');
}

function sentLine(data: EventData): Line {
  const [first, ...more] = data.readings ?? [];
  if (!first) return { lead: 'sent nothing', value: '', path: '' };
  const one = reading('sent ', { ...data, path: first.path, node: first.node });
  return more.length ? { ...one, value: `${one.value} and ${plural(more.length, 'more value', 'more values')}` } : one;
}

function reading(lead: string, data: EventData): Line {
  const path = text(data.path);
  if (!data.node) return { lead: lead + definitions.label(path), value: '', path };
  const name = data.node.kind === 'resource' ? data.node.name : undefined;
  return { lead: lead + definitions.label(path, name), value: nodeText(data.node), path };
}

export function nodeText(node: Node): string {
  if (node.kind === 'resource') return valueText(node) + (node.unit && node.value !== undefined ? `\u202f${unitText(node.unit)}` : '');
  if (node.kind === 'instance') return plural(node.resources.length, 'resource');
  return plural(node.instances.length, 'instance');
}

function completed(data: EventData): Line {
  const request = data.request as Request;
  return { lead: `${operationText(request.operation)} ${requestText(request)}`, value: outcomeText(request), path: request.path };
}

/** What a request brought: values, links, or the new instance. */
export function outcomeText({ state, outcome }: Request): string {
  if (state !== 'completed' || !outcome) return '';
  if (outcome.node) return nodeText(outcome.node);
  if (outcome.links) return plural(outcome.links.length, 'link');
  return outcome.created ?? '';
}
