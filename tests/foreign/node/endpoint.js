// A mirroring endpoint on node-soap: a partner's, as far from Mirrorlab's own stack as it can be.
//
//   node endpoint.js --keys KEYS --application-id ID --mirrors DIRECTORY --wsdl FILE [--mistakes LIST]
//
// It listens on a free port of 127.0.0.1 and prints its URL. What `--mistakes` may name stands in mistakes.js.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';
import soap from 'soap';

import { isMistaken, make } from './mistakes.js';
import { onMirror } from './mirror.js';
import { Refused, Trust } from './trust.js';
import { Wrong, throughDouble } from './values.js';

const { values: given } = parseArgs({
  options: Object.fromEntries(
    ['keys', 'application-id', 'mirrors', 'wsdl', 'mistakes'].map((name) => [name, { type: 'string', default: '' }]),
  ),
});
make(given.mistakes);

const PATH = '/node/MirroringClientService.svc';
const XML = 'text/xml; charset=utf-8';
const ACTION = 'http://www.superoffice.com/online/mirroring/0.1/IMirroringClientService/';
const OPERATIONS = ['Authenticate', 'TableSchema', 'RowData', 'Wipe', 'ReplicationCompleted'];
const BODY_BYTES_MAX = 512 * 1024 * 1024;
const trust = new Trust(given.keys, given['application-id']);

// --- What node-soap is given --------------------------------------------------------------------------------------

// Begins a character that XML 1.0 does not have, as six digits, while the text is XML; itself it is written so too.
const SHELTER = '\u{10f000}';
const sheltered = (code) => SHELTER + code.toString(16).padStart(6, '0');

const isForbidden = (code) => (code < 0x20 && ![9, 10, 13].includes(code)) || code === 0xfffe || code === 0xffff;

/** .NET writes `&#x1;`, which the parser refuses, as XML 1.0 has it: such a character waits elsewhere. */
function shelter(code) {
  return isMistaken('control-characters') ? '' : sheltered(code);
}

function unshelter(text) {
  return text.replace(/\u{10f000}([0-9a-f]{6})/gu, (_, digits) => String.fromCodePoint(parseInt(digits, 16)));
}

const escaped = (text) => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');

class Malformed extends Error {}

/** The request as the parser can read it without losing anything. */
function prepare(body) {
  const mark = body.subarray(0, 2).toString('hex');
  const encoding = { fffe: 'utf-16le', feff: 'utf-16be' }[mark] ?? 'utf-8';
  let text;
  try {
    text = new TextDecoder(encoding, { fatal: true }).decode(body);
  } catch (error) {
    throw new Malformed(error.message);
  }
  if (/^\s*(<\?[^]*?\?>\s*|<!--[^]*?-->\s*)*<!DOCTYPE/.test(text)) throw new Malformed('a document type definition');
  if (text.trim() === '' || !text.trimStart().startsWith('<')) throw new Malformed('no XML');
  // A raw line end is one LF: the parser leaves CR alone.
  text = text.replace(/\r\n?/g, '\n').replaceAll(SHELTER, sheltered(0x10f000));
  // Comments and CDATA cut a text into pieces, and the parser may keep the last one alone.
  return text.replace(
    /<!--[^]*?-->|<!\[CDATA\[([^]*?)\]\]>|&#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,9}));|&([A-Za-z][^;<]*;)/g,
    (whole, cdata, hex, decimal, entity) => {
      // The parser knows HTML's entities too.
      if (entity !== undefined && !['amp;', 'lt;', 'gt;', 'quot;', 'apos;'].includes(entity)) {
        throw new Malformed(`the entity &${entity} is not defined`);
      }
      if (entity !== undefined) return whole;
      if (cdata !== undefined) return escaped(cdata);
      if (hex === undefined && decimal === undefined) return '';
      const code = hex === undefined ? Number(decimal) : parseInt(hex, 16);
      if (code === 0x10f000) return sheltered(code);
      return isForbidden(code) ? shelter(code) : whole;
    },
  );
}

const fault = (code, text) => ({ Fault: { faultcode: `soap:${code}`, faultstring: text, statusCode: 500 } });

/** node-soap gives a text, or an object where the element had attributes; null is nil, undefined nothing at all. */
function textOf(value) {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') {
    const text = unshelter(value);
    return isMistaken('carriage-return') ? text.replace(/\r\n?/g, '\n') : text;
  }
  if (typeof value === 'object' && Object.keys(value).every((key) => ['attributes', '$value'].includes(key))) {
    return textOf(value.$value ?? '');
  }
  throw fault('Client', 'an element in a text');
}

/** A list's elements. A text between them takes the whole list's place in node-soap's object. */
function listOf(value, name) {
  if (value === null || value === undefined) return [];
  if (typeof value !== 'object') throw fault('Client', `text beside ${name}`);
  const strangers = Object.keys(value).filter((key) => key !== name && key !== 'attributes');
  if (strangers.length > 0) throw fault('Client', `${strangers[0]} beside ${name}`);
  return [value[name] ?? []].flat();
}

function object(value) {
  if (value !== null && value !== undefined && typeof value !== 'object') throw fault('Client', 'text between elements');
  return value ?? {};
}

function tableInfo(value) {
  if (value === null || value === undefined) return null;
  const columns = listOf(object(value).Columns, 'ColumnInfo').map((column) => ({
    name: textOf(object(column).Name),
    type: textOf(column?.Type),
    nullable: column?.IsNullable === true,
    default: textOf(column?.DefaultValue),
  }));
  return { name: textOf(value.TableName), columns };
}

function batchOf(batch) {
  const rows = listOf(object(batch).Data, 'RowData').map((row) => ({
    operation: (textOf(object(row).Operation) ?? '').trim(),
    cells: listOf(row?.ColumnValues, 'string').map(textOf),
  }));
  return { rows, lsn: batch?.LSN ?? null, info: tableInfo(batch?.TableInfo) };
}

/** `xs:long`: node-soap's own reader makes a double of it. */
function long(text) {
  if (!/^\s*[+-]?\d{1,19}\s*$/.test(text)) throw fault('Client', 'LSN is not a number of 64 bits');
  const value = isMistaken('big-integers') ? throughDouble(text.trim()) : BigInt(text.trim().replace('+', ''));
  if (BigInt.asIntN(64, value) !== value) throw fault('Client', 'LSN is not a number of 64 bits');
  return value;
}

// --- The service --------------------------------------------------------------------------------------------------

const work = {
  Authenticate: (mirror, args, nonce) => ({
    SignedApplicationToken: trust.answer(nonce),
    SupportedInterfaces: '1',
    SuperOfficeMirroringBuild: '4.0.0.0/Release_1',
    ClientState: textOf(args.ClientState) ?? undefined,
  }),
  TableSchema: (mirror, args) => {
    const lsns = mirror.tableSchema(listOf(args.Tables, 'TableSchemaInfo').map(tableInfo).filter((t) => t !== null));
    // node-soap would leave the structures in the messages' namespace: the contract's prefix says where they belong.
    const members = ({ name, lsn }) => ({ 's:LSN': `${lsn}`, 's:TableName': name });
    const turned = ({ name, lsn }) => ({ 's:TableName': name, 's:LSN': `${lsn}` });
    return { MirrorLSN: { 's:TableLSN': lsns.map(isMistaken('member-order') ? turned : members) } };
  },
  RowData: (mirror, args) => {
    mirror.rowData(listOf(args.DataBatches, 'RowDataBatch').map(batchOf));
    return {};
  },
  Wipe: (mirror, args) => {
    mirror.wipe(textOf(args.TableName));
    return {};
  },
  ReplicationCompleted: (mirror, args) => {
    listOf(args.ChangedTables, 'ReplicationSummary');
    return {};
  },
};

function understand(headers) {
  for (const [name, header] of Object.entries(headers ?? {})) {
    const attributes = Object.entries([header].flat()[0]?.attributes ?? {});
    if (name !== 'SignedToken' && attributes.some(([key, value]) => /(^|:)mustUnderstand$/.test(key) && value === '1')) {
      throw fault('MustUnderstand', `the header ${name} is not understood`);
    }
  }
}

function serve(operation) {
  return (args, _callback, headers) => {
    understand(headers);
    try {
      const { tenant, nonce } = trust.admit(textOf(headers?.SignedToken));
      const rest = onMirror(given.mirrors, tenant, (mirror) => work[operation](mirror, object(args), nonce));
      return isMistaken('member-order') ? { ...rest, IsSuccessful: true } : { IsSuccessful: true, ...rest };
    } catch (error) {
      if (!(error instanceof Refused || error instanceof Wrong)) throw error;
      const [no, text] = [{ IsSuccessful: false }, { ErrorMessage: error.message }];
      return isMistaken('member-order') ? { ...text, ...no } : { ...no, ...text };
    }
  };
}

// --- HTTP ---------------------------------------------------------------------------------------------------------

const server = createServer({ keepAliveTimeout: 60_000 });

function listen(wsdl) {
  const methods = Object.fromEntries(OPERATIONS.map((operation) => [operation, serve(operation)]));
  const service = soap.listen(null, {
    path: PATH,
    services: { MirroringClientService: { MirroringClientServiceSoap: methods } },
    xml: wsdl,
    handleNilAsNull: true,
    customDeserializer: { long },
    suppressStack: true,
  });
  // node-soap reads this option and has no way to give it: without it, blanks at a text's ends are lost.
  service.wsdl.options.preserveWhitespace = true;
  service.on('request', (request, operation) => {
    const names = Object.keys(object(request.Body)).filter((name) => name !== 'attributes');
    if (names.length !== 1 || names[0] !== `${operation}Request`) {
      throw fault('Client', `one ${operation}Request is expected in Body`);
    }
  });
  return service;
}

async function post(service, request, response) {
  const answer = (status, type, body) => response.writeHead(status, { 'Content-Type': type }).end(body);
  const pieces = [];
  let length = 0;
  for await (const piece of request) {
    length += piece.length;
    if (length > BODY_BYTES_MAX) return request.destroy();
    pieces.push(piece);
  }
  const kind = (request.headers['content-type'] ?? '').split(';')[0].trim().toLowerCase();
  if (kind !== 'text/xml') return answer(415, 'text/plain', 'text/xml is expected');
  const action = (request.headers.soapaction ?? '').trim().replace(/^"(.*)"$/, '$1');
  if (!action.startsWith(ACTION) || !OPERATIONS.includes(action.slice(ACTION.length))) {
    const body = `<faultcode>s:ActionNotSupported</faultcode><faultstring>the action is not known</faultstring>`;
    return answer(500, XML, envelope(`<s:Fault>${body}</s:Fault>`));
  }
  try {
    const headers = { ...request.headers, soapaction: action };
    const done = await service.processRequest(prepare(Buffer.concat(pieces)), { url: PATH, headers });
    // The parser's own fault for what is no XML.
    if (done.statusCode === 500 && done.body.includes('Invalid XML')) return answer(400, XML, done.body);
    return answer(done.statusCode, XML, done.body);
  } catch (error) {
    if (error instanceof Malformed) return answer(400, 'text/plain', error.message);
    console.error(error);
    return answer(500, XML, envelope('<s:Fault><faultcode>s:Server</faultcode><faultstring>broken</faultstring></s:Fault>'));
  }
}

const envelope = (body) =>
  `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body>${body}</s:Body></s:Envelope>`;

server.listen(0, '127.0.0.1', () => {
  const url = `http://127.0.0.1:${server.address().port}${PATH}`;
  const wsdl = readFileSync(given.wsdl, 'utf8').replace(/location="[^"]*"/, `location="${url}"`);
  const service = listen(wsdl);
  server.on('request', (request, response) => {
    const { pathname, search } = new URL(request.url, url);
    const answer = (status, type, body) => response.writeHead(status, { 'Content-Type': type }).end(body);
    if (pathname !== PATH) answer(404, 'text/plain', 'nothing here');
    else if (request.method === 'POST') post(service, request, response).catch(() => request.destroy());
    else if (request.method !== 'GET') answer(405, 'text/plain', 'POST is expected');
    else if (/^\?(wsdl|singlewsdl)$/i.test(search)) answer(200, XML, wsdl);
    else answer(200, 'text/html; charset=utf-8', '<!doctype html><title>Mirroring</title><p>It takes POST.</p>');
  });
  console.log(url);
});
