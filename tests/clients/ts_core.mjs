// A run through `@prefactor/core`, with its tracer and its queue, and its clients called by hand.
//
// Runs with nothing of remit; prints as `http_client.py` does. The tracer's spans have no id that
// is known here: they are told by the `span_id` in their payload.

import { createInterface } from 'node:readline';
import { setTimeout as wait } from 'node:timers/promises';
import {
  AgentInstanceClient,
  AgentSpanClient,
  createConfig,
  createCore,
  HttpClient,
  SpanType,
  withSpan,
} from '@prefactor/core';

const { CLIENT_URL: url, CLIENT_TOKEN: token, CLIENT_AGENT: agent } = process.env;
const schema = {
  external_identifier: 'ts-1',
  span_schemas: { agent: { type: 'object' }, 'desk:tool': { type: 'object' } },
};
const httpConfig = {
  apiUrl: url,
  apiToken: token,
  agentId: agent,
  agentName: 'Stranger',
  agentIdentifier: 'v1',
  maxRetries: 0,
};
const client = new HttpClient({ ...httpConfig, requestTimeout: 30_000, retryOnStatusCodes: [] });
const instances = new AgentInstanceClient(client);
const spansClient = new AgentSpanClient(client);
const story = { runs: {}, spans: {}, traced: [], refused: {}, lists: {}, bulk: [] };
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

const tell = (event) => process.stdout.write(`${JSON.stringify(event)}\n`);

async function refusal(what, call) {
  try {
    await call();
    story.refused[what] = ['accepted'];
  } catch (error) {
    story.refused[what] = [error.name, error.status, error.responseBody?.code];
  }
}

// Returns the rows of a list, read page by page.
async function allOf(path, query) {
  const rows = [];
  let offset = 0;
  while (offset !== null) {
    const paging = { 'pagination[offset]': offset, 'pagination[page_size]': 2 };
    const asked = new URLSearchParams({ ...query, ...paging });
    const answer = await client.request(`${path}?${asked}`);
    rows.push(...answer.summaries);
    offset = answer.pagination.next_page_offset;
  }
  return rows;
}

const runsOf = (query) => allOf('/api/v1/agent_instance', { agent_id: agent, ...query });

async function until(holds) {
  while (!(await holds())) await wait(20);
}

// What the tracer's payload has to be, once the span has ended.
function traced(span, status) {
  const { spanId, traceId, name, inputs, outputs, metadata, error, tokenUsage } = span;
  story.traced.push({
    schema_name: span.spanType,
    status: status ?? (error ? 'failed' : 'complete'),
    parent: span.parentSpanId,
    started_at: new Date(span.startTime).toISOString(),
    finished_at: new Date(span.endTime).toISOString(),
    result_payload: error
      ? { error_type: error.errorType, message: error.message, stacktrace: error.stacktrace }
      : (outputs ?? {}),
    name,
    inputs,
    metadata,
    span_id: spanId,
    trace_id: traceId,
    tokens: tokenUsage?.totalTokens ?? null,
  });
}

async function trace() {
  const core = createCore(createConfig({ httpConfig }));
  const spans = [];
  const { tracer } = core;
  const begin = tracer.startSpan.bind(tracer);
  tracer.startSpan = (options) => {
    const span = begin(options);
    spans.push(span);
    return span;
  };
  core.agentManager.registerSchema(schema);
  core.agentManager.startInstance();
  const named = (spanType, name, inputs) => ({ spanType, name, inputs, metadata: { of: name } });
  await withSpan(tracer, named(SpanType.AGENT, 'slow', { q: 'é ☃' }), async () => {
    await until(async () => {
      const [run] = await runsOf();
      return run && (await allOf('/api/v1/agent_spans', { agent_instance_id: run.id })).length > 0;
    });
    await withSpan(tracer, named('desk:tool', 'look up', { n: 1 }), async () => ({ found: [1] }));
    const fails = () => Promise.reject(new TypeError('no such order'));
    await withSpan(tracer, named('desk:tool', 'fail', {}), fails).catch(() => {});
    const counted = tracer.startSpan(named('desk:llm', 'count', {}));
    const tokenUsage = { promptTokens: 3, completionTokens: 4, totalTokens: 7 };
    tracer.endSpan(counted, { outputs: { text: 'ok' }, tokenUsage });
    return { a: 42 };
  });
  // Ends before the queue has sent it: it is created complete, and then finished again.
  await withSpan(tracer, named(SpanType.AGENT, 'quick', {}), async () => {
    await withSpan(tracer, named('desk:tool', 'inner', {}), async () => undefined);
  });
  core.agentManager.finishInstance();
  await core.shutdown();
  const [run] = await runsOf();
  story.runs[run.id] = { agent_id: agent, status: 'complete' };
  spans.forEach((span) => traced(span));
}

async function record() {
  const version = { external_identifier: 'v1', name: 'Stranger', description: '' };
  const registration = { agent_id: agent, agent_version: version, agent_schema_version: schema };
  const { id } = (await instances.register(registration)).details;
  story.runs[id] = { agent_id: agent, status: 'failed' };
  const create = async (more) => {
    const details = { agent_instance_id: id, schema_name: 'desk:tool', status: 'active', ...more };
    const answer = await spansClient.create({ details: { payload: {}, ...details } });
    story.spans[answer.details.id] = details;
    return answer.details.id;
  };
  const early = await create({ payload: { early: true } });
  await instances.start(id);
  const dropped = await create({ parent_span_id: early });
  await spansClient.finish(dropped, new Date().toISOString(), { status: 'cancelled' });
  story.spans[dropped].status = 'cancelled';
  await create({ parent_span_id: '013xrzp12g3nqk8nzzzzzzzzzzzzzzzz' });
  await create({ status: 'complete', started_at: '2026-01-02T03:04:05.678Z' });
  await instances.finish(id, { status: 'failed' });
  await spansClient.finish(early, '2026-01-02T03:04:06.000Z');
  Object.assign(story.spans[early], { status: 'complete', finished_at: '2026-01-02T03:04:06Z' });
  // Said twice: it knows such a refusal by its code, and is content.
  await spansClient.finish(early, '2026-01-02T03:04:07.000Z');
  await refusal("a run's second end", () => instances.finish(id));
  const query = { agent_instance_id: id };
  const ids = async (more) => {
    const rows = await allOf('/api/v1/agent_spans', { ...query, ...more });
    return rows.map((row) => row.id);
  };
  story.lists[`${id} asc`] = await ids();
  story.lists[`${id} desc`] = await ids({ sorting: '-id' });
}

async function sendInBulk() {
  const own = agent.slice(-12);
  const bulk = async (items) => {
    const { outputs } = await client.request('/api/v1/bulk', { method: 'POST', body: { items } });
    const named = Object.entries(outputs).map(([key, each]) => [key.split('/')[0], each]);
    story.bulk.push(...named.map(([name, each]) => [name, each.code ?? each.status]));
    return Object.fromEntries(named);
  };
  const item = (_type, name, more) => ({ _type, idempotency_key: `${name}/${own}`, ...more });
  const registration = { agent_id: agent, agent_version: {}, agent_schema_version: schema };
  const made = await bulk([item('agent_instances/register', 'ts-register', registration)]);
  const run = made['ts-register'].details.id;
  const details = { agent_instance_id: run, schema_name: 'desk:tool', status: 'active' };
  const sent = await bulk([
    item('agent_spans/create', 'ts-create', { details: { ...details, payload: { n: 1 } } }),
    item('agent_instances/finish', 'ts-finish', { agent_instance_id: run }),
    item('agent_instances/finish', 'ts-finish-again', { agent_instance_id: run }),
    item('agent_spans/create', 'ts-unreached', { details }),
  ]);
  story.spans[sent['ts-create'].details.id] = { ...details, payload: { n: 1 } };
  story.runs[run] = { agent_id: agent, status: 'complete' };
}

async function beTerminated() {
  const body = { agent_id: agent, agent_version: {}, agent_schema_version: schema };
  const { id } = (await instances.register(body)).details;
  await instances.start(id);
  tell({ terminate: id, reason: 'too dear' });
  await answers.next();
  // This release does not look at the signal; whoever calls its client sees it.
  const details = { agent_instance_id: id, schema_name: 'agent', status: 'active' };
  const { details: span, control } = await spansClient.create({ details });
  story.heard = [['create', control?.terminate === true ? control.reason : null]];
  await spansClient.finish(span.id, new Date().toISOString());
  story.spans[span.id] = { ...details, status: 'complete' };
  story.runs[id] = { agent_id: agent, status: 'terminated', termination_reason: 'too dear' };
  await refusal("a terminated run's end", () => instances.finish(id));
}

async function beRefused() {
  await refusal("an unknown run's start", () => instances.start('nothing'));
  const stranger = new HttpClient({ ...client.config, apiToken: 'wrong' });
  await refusal('a wrong token', () => new AgentInstanceClient(stranger).start('nothing'));
}

await trace();
await record();
await sendInBulk();
await beTerminated();
await beRefused();
const newestFirst = { 'sorting[field]': 'id', 'sorting[direction]': 'desc' };
story.lists['runs asc'] = (await runsOf()).map((row) => row.id);
story.lists['runs desc'] = (await runsOf(newestFirst)).map((row) => row.id);
tell(story);
process.exit(0);
