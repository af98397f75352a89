// SQL Server's column types, defaults and cells, as text from outside that is read into closed lists.

import { isMistaken } from './mistakes.js';

/** What came cannot be kept; the text goes to the caller. */
export class Wrong extends Error {}

const INTEGERS = {
  int: [-(2n ** 31n), 2n ** 31n - 1n],
  smallint: [-(2n ** 15n), 2n ** 15n - 1n],
  tinyint: [0n, 255n],
  bigint: [-(2n ** 63n), 2n ** 63n - 1n],
  bit: [0n, 1n],
};
const WIDTH = ['tinyint', 'smallint', 'int', 'bigint'];
const LENGTHS = { nvarchar: 4000, varchar: 8000, nchar: 4000, char: 8000, varbinary: 8000, binary: 8000 };
const MOMENTS = ['datetime', 'smalldatetime', 'datetime2', 'datetimeoffset', 'date'];
const TICKS_A_SECOND = 10_000_000;
const TICKS_A_DAY = 86_400 * TICKS_A_SECOND;
const excerpt = (text) => (text.length > 60 ? `${text.slice(0, 60)}…` : text);

export class Type {
  // `length` is null where there is no limit; `digits` are those of a second, or behind the point.
  constructor(name, { length = null, precision = 0, digits = 0 } = {}) {
    Object.assign(this, { name, length, precision, digits });
  }
  get isText() {
    return ['nvarchar', 'varchar', 'nchar', 'char', 'ntext', 'text'].includes(this.name);
  }
  get isBinary() {
    return ['varbinary', 'binary', 'image', 'rowversion'].includes(this.name);
  }
  get isLarge() {
    return ['ntext', 'text', 'image'].includes(this.name) || (this.name in LENGTHS && this.length === null);
  }
  get isInteger() {
    return this.name in INTEGERS;
  }
  get isFloat() {
    return this.name === 'float' || this.name === 'real';
  }
  get isExact() {
    return ['decimal', 'money', 'smallmoney'].includes(this.name);
  }
  get isMoment() {
    return MOMENTS.includes(this.name);
  }
  toString() {
    if (this.name in LENGTHS) return `${this.name}(${this.length ?? 'max'})`;
    if (this.name === 'decimal') return `decimal(${this.precision},${this.digits})`;
    if (['datetime2', 'datetimeoffset', 'time'].includes(this.name)) return `${this.name}(${this.digits})`;
    return this.name;
  }
  /** The type that SQLite is told. Exact numbers are text there: SQLite would make floats of them. */
  declared() {
    if (this.name === 'decimal') return `decimal_text(${this.precision},${this.digits})`;
    if (this.isExact) return `${this.name}_text`;
    return `"${this}"`;
  }
  /** Whether every value of `old` is one of this type, in the same stored form. */
  takesAllOf(old) {
    if (`${this}` === `${old}`) return true;
    const [a, b] = [WIDTH.indexOf(this.name), WIDTH.indexOf(old.name)];
    if (a >= 0 && b >= 0) return a >= b;
    if (this.name !== old.name || !(this.name in LENGTHS)) return false;
    return this.length === null || (old.length !== null && this.length >= old.length);
  }
}

export function parseType(text) {
  const refused = () => new Wrong(`\`${excerpt(text)}\` is not a column type of SQL Server`);
  const found = /^\s*([a-z0-9]+(?:\s+precision)?)\s*(?:\(([^()]*)\))?\s*$/.exec(text.toLowerCase());
  if (!found) throw refused();
  let name = found[1].replace(/\s+/g, ' ');
  const given = found[2] === undefined ? [] : found[2].split(',').map((a) => a.trim());
  const number = (at, low, high, otherwise) => {
    if (at >= given.length) return otherwise;
    const n = /^\d{1,4}$/.test(given[at]) ? Number(given[at]) : NaN;
    if (!(low <= n && n <= high)) throw new Wrong(`\`${excerpt(text)}\`: ${low} to ${high} may stand in the parentheses`);
    return n;
  };
  const atMost = (count) => {
    if (given.length > count) throw new Wrong(`\`${excerpt(text)}\` has too much in its parentheses`);
  };
  if (name === 'integer') name = 'int';
  if (name in LENGTHS) {
    atMost(1);
    if (given[0] === 'max' && name.includes('var')) return new Type(name);
    return new Type(name, { length: number(0, 1, LENGTHS[name], 1) });
  }
  if (['decimal', 'numeric', 'dec'].includes(name)) {
    atMost(2);
    const precision = number(0, 1, 38, 18);
    return new Type('decimal', { precision, digits: number(1, 0, precision, 0) });
  }
  if (name === 'float') {
    atMost(1);
    return new Type(number(0, 1, 53, 53) <= 24 ? 'real' : 'float');
  }
  if (['datetime2', 'datetimeoffset', 'time'].includes(name)) {
    atMost(1);
    return new Type(name, { digits: number(0, 0, 7, 7) });
  }
  atMost(0);
  if (name in INTEGERS) return new Type(name);
  if (name === 'double precision') return new Type('float');
  if (name === 'timestamp' || name === 'rowversion') return new Type('rowversion', { length: 8 });
  if (name === 'money') return new Type(name, { precision: 19, digits: 4 });
  if (name === 'smallmoney') return new Type(name, { precision: 10, digits: 4 });
  const plain = ['real', 'datetime', 'smalldatetime', 'date', 'ntext', 'text', 'image', 'uniqueidentifier'];
  if (plain.includes(name)) return new Type(name);
  throw refused();
}

const NOW = ['getdate()', 'getutcdate()', 'sysdatetime()', 'sysutcdatetime()', 'current_timestamp'];

/** A default without what SQL Server puts around it. */
export function bareDefault(text) {
  let rest = text.trim().replace(/^default\b/i, '').trim();
  while (rest.startsWith('(') && rest.endsWith(')')) rest = rest.slice(1, -1).trim();
  return rest;
}

/** The value that rows which are there get in a new column; null where there is no default. */
export function parseDefault(text, type) {
  const rest = bareDefault(text);
  const lower = rest.toLowerCase();
  if (rest === '' || lower === 'null') return null;
  if (NOW.includes(lower)) return store(new Date().toISOString().slice(0, 23).replace('T', ' '), type);
  if (lower === 'newid()' || lower === 'newsequentialid()') return '00000000-0000-0000-0000-000000000000';
  const quoted = /^[Nn]?'((?:[^']|'')*)'$/.exec(rest);
  if (quoted) {
    const bare = quoted[1].replaceAll("''", "'");
    if (bare !== '' || type.isText) return store(bare, type);
    return store(type.isMoment ? '1900-01-01' : '0', type);
  }
  if (NUMBER.test(rest)) {
    if (type.name !== 'datetime' && type.name !== 'smalldatetime') return store(rest, type);
    const day = new Date(Date.UTC(1900, 0, 1) + Math.trunc(Number(rest)) * 86_400_000);
    return store(day.toISOString().slice(0, 10), type);
  }
  if (/^0x([0-9a-f]{2})*$/i.test(rest) && type.isBinary) return Buffer.from(rest.slice(2), 'hex');
  throw new Wrong(`\`${excerpt(text)}\` is not a default that can be kept`);
}

function markers(type) {
  if (type.isInteger) return ['I', 'S', 'L'];
  if (type.isFloat || type.isExact) return ['I', 'S', 'L', 'F', 'M'];
  if (type.isMoment) return ['DT', 'D'];
  if (type.name === 'time') return ['T', 'DT'];
  return type.isBinary ? ['B'] : [];
}

/** A cell as the wire writes it, as SQLite keeps it. */
export function readCell(text, type) {
  if (text === null) return type.isText && isMistaken('null-and-empty') ? '' : null;
  if (type.isText) return store(text, type);
  if (text === '') return null;
  const marked = /^\[([A-Z]{1,2}):([^]*)\]$/.exec(text);
  if (!marked) return store(text, type);
  if (!markers(type).includes(marked[1])) throw new Wrong(`\`${excerpt(text)}\` is not a value of type ${type}`);
  return store(marked[2], type);
}

function store(text, type) {
  const value = stored(text, type);
  if (value === null) throw new Wrong(`\`${excerpt(text)}\` is not a value of type ${type}`);
  return value;
}

function stored(text, type) {
  // JavaScript counts UTF-16 units, as SQL Server does.
  if (type.isText) return type.length === null || text.length <= type.length ? text : null;
  if (type.isInteger) return integer(text, type);
  if (type.isFloat) return floating(text, type);
  if (type.isExact) return exact(text, type);
  if (type.isMoment) return moment(text, type);
  if (type.isBinary) return bytes(text, type);
  if (type.name === 'time') {
    const found = /^(?:\d\d\/\d\d\/\d{4} |\d{4}-\d\d-\d\d )?(\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?)$/.exec(text);
    return found && clock(found[1], type.digits);
  }
  const guid = /^\{?([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\}?$/i.exec(text);
  return guid && guid[1].toUpperCase();
}

function integer(text, type) {
  const word = text.toLowerCase();
  if (type.name === 'bit' && (word === 'true' || word === 'false')) return BigInt(word === 'true');
  if (!/^[+-]?\d{1,30}$/.test(text)) return null;
  const value = isMistaken('big-integers') ? throughDouble(text) : BigInt(text.replace('+', ''));
  const [low, high] = INTEGERS[type.name];
  return low <= value && value <= high ? value : null;
}

/** What a whole number is to JavaScript unless one takes care; clamped, as SQLite's drivers do. */
export function throughDouble(text) {
  const value = BigInt(Math.trunc(Number(text)));
  return value > 2n ** 63n - 1n && BigInt(text) < 2n ** 63n ? 2n ** 63n - 1024n : value;
}

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(?:[eE]([+-]?\d{1,4}))?$/;

function floating(text, type) {
  if (!NUMBER.test(text)) return null;
  const value = type.name === 'real' ? Math.fround(Number(text)) : Number(text);
  return Number.isFinite(value) ? value : null;
}

function exact(text, type) {
  const found = NUMBER.exec(text);
  if (!found) return null;
  const [whole, fraction = ''] = found[1].split('.');
  // The number is `units` times ten to the power of `-scale`.
  let units = BigInt(whole + fraction || '0');
  let scale = fraction.length - Number(found[2] ?? 0);
  if (Math.abs(scale) > 400) return null;
  for (; scale < type.digits; scale += 1) units *= 10n;
  const cut = 10n ** BigInt(scale - type.digits);
  units = cut === 1n ? units : (units + cut / 2n) / cut;
  const limit = { money: 2n ** 63n - 1n, smallmoney: 2n ** 31n - 1n }[type.name] ?? 10n ** BigInt(type.precision) - 1n;
  const isNegative = text.startsWith('-') && units > 0n;
  if (units > limit + BigInt(isNegative && type.name !== 'decimal')) return null;
  const all = units.toString().padStart(type.digits + 1, '0');
  const point = all.length - type.digits;
  return `${isNegative ? '-' : ''}${all.slice(0, point)}${type.digits ? `.${all.slice(point)}` : ''}`;
}

function bytes(text, type) {
  const bare = text.replace(/\s/g, '');
  // Buffer.from forgives whatever is not base64.
  if (bare.length % 4 !== 0 || !/^[A-Za-z0-9+/]*={0,2}$/.test(bare)) return null;
  const value = Buffer.from(bare, 'base64');
  return type.length === null || value.length <= type.length ? value : null;
}

const MOMENT =
  /^(?:(\d\d)\/(\d\d)\/(\d{4})|(\d{4})-?(\d\d)-?(\d\d))(?:[ T](\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?))?(?: ([+-]\d\d:\d\d))?$/;
const two = (n) => String(n).padStart(2, '0');

function ticks(text) {
  const [hour, minute, rest = '0'] = text.split(':');
  const [second, fraction = ''] = rest.split('.');
  if (hour > 23 || minute > 59 || second > 59) return null;
  return (hour * 3600 + minute * 60 + Number(second)) * TICKS_A_SECOND + Number(fraction.padEnd(7, '0'));
}

function clockText(ofDay, digits) {
  const second = Math.floor(ofDay / TICKS_A_SECOND);
  const fraction = String(ofDay % TICKS_A_SECOND).padStart(7, '0').slice(0, digits);
  const text = `${two(Math.floor(second / 3600))}:${two(Math.floor(second / 60) % 60)}:${two(second % 60)}`;
  return digits ? `${text}.${fraction}` : text;
}

const rounded = (ofDay, unit) => Math.floor((ofDay + Math.floor(unit / 2)) / unit) * unit;

function clock(text, digits) {
  const ofDay = ticks(text);
  const unit = 10 ** (7 - digits);
  // A time that would be rounded into the next day stays at the day's last moment.
  return ofDay === null ? null : clockText(Math.min(rounded(ofDay, unit), TICKS_A_DAY - unit), digits);
}

/** A day's text, so many days on; null where there is none. Date cannot be given years below 100 as they are. */
function day(year, month, date, later = 0) {
  const at = new Date(0);
  at.setUTCFullYear(year, month - 1, date);
  if (at.getUTCFullYear() !== year || at.getUTCMonth() !== month - 1 || at.getUTCDate() !== date || year < 1) return null;
  at.setUTCDate(date + later);
  if (at.getUTCFullYear() > 9999) return null;
  return `${String(at.getUTCFullYear()).padStart(4, '0')}-${two(at.getUTCMonth() + 1)}-${two(at.getUTCDate())}`;
}

function moment(text, type) {
  const found = MOMENT.exec(text);
  if (!found || (found[8] !== undefined) !== (type.name === 'datetimeoffset')) return null;
  const [year, month, date] = (found[3] ? [found[3], found[1], found[2]] : found.slice(4, 7)).map(Number);
  let ofDay = found[7] ? ticks(found[7]) : 0;
  if (ofDay === null || day(year, month, date) === null) return null;
  if (type.name === 'date') return day(year, month, date);
  let { digits } = type;
  if (type.name === 'datetime') {
    // Kept to a three-hundredth of a second, shown in whole milliseconds.
    const parts = Math.floor((ofDay * 300 + TICKS_A_SECOND / 2) / TICKS_A_SECOND);
    ofDay = Math.floor(parts / 300) * TICKS_A_SECOND + Math.floor(((parts % 300) * 10 + 1) / 3) * 10_000;
    digits = 3;
  } else if (type.name === 'smalldatetime') {
    ofDay = rounded(ofDay, 60 * TICKS_A_SECOND);
  } else {
    ofDay = rounded(ofDay, 10 ** (7 - digits));
  }
  const kept = day(year, month, date, ofDay >= TICKS_A_DAY ? 1 : 0);
  if (kept === null) return null;
  if (type.name === 'datetime' && kept < '1753') return null;
  if (type.name === 'smalldatetime' && (kept < '1900' || kept > '2079-06-06')) return null;
  return `${kept} ${clockText(ofDay % TICKS_A_DAY, digits)}${found[8] ? ` ${found[8]}` : ''}`;
}
