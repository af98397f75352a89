// A tenant's mirror in SQLite, and the five operations' work on it.

import { createHash } from 'node:crypto';
import { join } from 'node:path';
import sqlite from 'node-sqlite3-wasm';

import { Wrong, bareDefault, parseDefault, parseType, readCell } from './values.js';

const NAME_MAX = 128;
const COLUMNS_MAX = 1024;

const quote = (name) => `"${name.replaceAll('"', '""')}"`;
const fold = (name) => name.toUpperCase().toLowerCase();

function literal(value) {
  if (value instanceof Uint8Array) return `X'${Buffer.from(value).toString('hex')}'`;
  return typeof value === 'string' ? `'${value.replaceAll("'", "''")}'` : `${value}`;
}

const clock = (format, ...more) => `strftime(${[format, 'now', ...more].map(literal).join(', ')})`;
// SQL Server's functions in SQLite's words.
const FUNCTIONS = {
  'getdate()': clock('%Y-%m-%d %H:%M:%f', 'localtime'),
  current_timestamp: clock('%Y-%m-%d %H:%M:%f', 'localtime'),
  'getutcdate()': clock('%Y-%m-%d %H:%M:%f'),
  'sysdatetime()': clock('%Y-%m-%d %H:%M:%f0000', 'localtime'),
  'sysutcdatetime()': clock('%Y-%m-%d %H:%M:%f0000'),
  'newid()':
    "substr(hex(randomblob(4)), 1) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || " +
    "hex(randomblob(2)) || '-' || hex(randomblob(6))",
};

/** A column's default as SQLite is told it: whoever writes to the mirror by hand gets it too. */
function declaredDefault(column) {
  const name = bareDefault(column.default).toLowerCase();
  if (Object.hasOwn(FUNCTIONS, name)) return ` DEFAULT (${FUNCTIONS[name]})`;
  return column.fill === null ? '' : ` DEFAULT ${literal(column.fill)}`;
}

/** A table as a message describes it; the first column is the key. */
class Table {
  constructor({ name, columns }) {
    const isName = (text) => typeof text === 'string' && text.trim() !== '' && text.length <= NAME_MAX;
    if (!isName(name)) throw new Wrong('a table has no name, or one of more than 128 characters');
    this.name = name;
    this.columns = columns.map((column) => {
      if (!isName(column.name)) throw new Wrong(`table \`${name}\`: a column has no name, or one that is too long`);
      const type = parseType(column.type ?? '');
      const text = column.default ?? '';
      return { name: column.name, type, nullable: column.nullable, default: text, fill: parseDefault(text, type) };
    });
    if (this.columns.length === 0) throw new Wrong(`table \`${name}\` has no columns`);
    if (this.columns.length > COLUMNS_MAX) throw new Wrong(`table \`${name}\` has more than ${COLUMNS_MAX} columns`);
    if (this.key.type.isLarge) throw new Wrong(`table \`${name}\`: a column of type ${this.key.type} can be no key`);
    this.at = new Map(this.columns.map((column) => [fold(column.name), column]));
    if (this.at.size < this.columns.length) throw new Wrong(`table \`${name}\` has two columns of one name`);
  }
  get key() {
    return this.columns[0];
  }
  hash() {
    const shape = this.columns.map((c) => [fold(c.name), `${c.type}`, c.nullable, c.default]);
    return createHash('sha256').update(JSON.stringify(shape)).digest('hex');
  }
  toJSON() {
    const columns = this.columns.map((c) => ({ ...c, type: `${c.type}`, fill: undefined }));
    return { name: this.name, columns };
  }
  create(name) {
    const columns = this.columns.map((column, place) => {
      const declared = place === 0 && column.type.name === 'int' ? 'INTEGER' : column.type.declared();
      const rest = place === 0 ? ' NOT NULL PRIMARY KEY' : column.nullable ? '' : ' NOT NULL';
      return `${quote(column.name)} ${declared}${rest}${declaredDefault(column)}`;
    });
    return `CREATE TABLE ${quote(name)} (${columns.join(', ')})`;
  }
  /** Whether the rows can stay; `hasNull` looks whether one of them is NULL in a column. */
  canBecome(next, hasNull) {
    if (fold(this.key.name) !== fold(next.key.name) || `${this.key.type}` !== `${next.key.type}`) return false;
    return next.columns.every((column) => {
      const old = this.at.get(fold(column.name));
      if (old === undefined) return column.nullable || column.fill !== null;
      return column.type.takesAllOf(old.type) && (column.nullable || !old.nullable || !hasNull(old));
    });
  }
}

/** Runs `work` on a tenant's mirror. One call is one transaction; JavaScript takes one call after the other. */
export function onMirror(directory, context, work) {
  const database = new sqlite.Database(join(directory, `Mirror_${context}.db`));
  try {
    // The database is opened for each call: its lock is a folder beside the file, which nobody else needs.
    database.exec('PRAGMA synchronous = OFF; BEGIN IMMEDIATE');
    try {
      const result = work(new Mirror(database, context));
      database.exec('COMMIT');
      return result;
    } catch (error) {
      if (database.inTransaction) database.exec('ROLLBACK');
      throw error;
    }
  } finally {
    database.close();
  }
}

class Mirror {
  constructor(database, context) {
    this.database = database;
    this.ownName = `${context}_mirroring`;
    this.own = quote(this.ownName);
    database.exec(
      `CREATE TABLE IF NOT EXISTS ${this.own} (tablename nvarchar(128) NOT NULL PRIMARY KEY, schemahash varchar(64) NOT NULL,
       LSN bigint NOT NULL, "schema" "nvarchar(max)" NOT NULL)`,
    );
  }

  /** The tables that stand in the database, by folded name. */
  there() {
    const rows = this.database.all("SELECT name FROM sqlite_master WHERE type = 'table'");
    return new Set(rows.map((row) => fold(row.name)));
  }

  /** The tables that this endpoint made and that are still there, by folded name. */
  known() {
    const there = this.there();
    const rows = this.database.all(`SELECT tablename, schemahash, LSN, "schema" FROM ${this.own}`);
    const known = rows
      .filter((row) => there.has(fold(row.tablename)))
      .map((row) => [
        fold(row.tablename),
        { table: new Table(JSON.parse(row.schema)), hash: row.schemahash, lsn: BigInt(row.LSN) },
      ]);
    return new Map(known);
  }

  set(table, lsn) {
    this.forget(table.name);
    this.database.run(`INSERT INTO ${this.own} VALUES (?, ?, ?, ?)`, [
      table.name,
      table.hash(),
      lsn,
      JSON.stringify(table),
    ]);
  }

  forget(name) {
    for (const { tablename } of this.database.all(`SELECT tablename FROM ${this.own}`)) {
      if (fold(tablename) === fold(name)) {
        this.database.run(`DELETE FROM ${this.own} WHERE tablename = ?`, [tablename]);
      }
    }
  }

  tableSchema(infos) {
    const tables = infos.map((info) => new Table(info));
    if (tables.length === 0) throw new Wrong('a schema without tables drops nothing: it is refused');
    const names = new Set(tables.map((table) => fold(table.name)));
    if (names.size < tables.length) throw new Wrong('a table is listed twice');
    if (names.has(fold(this.ownName))) throw new Wrong(`\`${this.ownName}\` is the endpoint's own table`);
    const [known, there] = [this.known(), this.there()];
    const lsns = tables.map((table) => ({
      name: table.name,
      lsn: this.fit(table, known.get(fold(table.name)), there),
    }));
    for (const [name, { table }] of known) {
      if (names.has(name)) continue;
      this.database.exec(`DROP TABLE ${quote(table.name)}`);
      this.forget(table.name);
    }
    return lsns;
  }

  /** Makes the mirror's table what the message says; the LSN that is answered. */
  fit(table, known, there) {
    if (known === undefined) {
      if (there.has(fold(table.name))) {
        throw new Wrong(`a table \`${table.name}\` is there that this endpoint did not make`);
      }
      this.database.exec(table.create(table.name));
      this.set(table, -1n);
      return -1n;
    }
    const { table: old, hash, lsn } = known;
    if (hash === table.hash()) return lsn;
    const hasNull = (column) => {
      const sql = `SELECT 1 FROM ${quote(old.name)} WHERE ${quote(column.name)} IS NULL LIMIT 1`;
      return this.database.all(sql).length > 0;
    };
    if (!old.canBecome(table, hasNull)) {
      this.database.exec(`DROP TABLE ${quote(old.name)}`);
      this.database.exec(table.create(table.name));
      this.set(table, -1n);
      return -1n;
    }
    const beside = `rebuilt beside ${table.name}`;
    this.database.exec(table.create(beside));
    const values = [];
    const sources = table.columns.map((column) => {
      const before = old.at.get(fold(column.name));
      if (before !== undefined) return quote(before.name);
      // A new column that may be NULL is NULL in rows that are there, default or not.
      values.push(column.nullable ? null : column.fill);
      return '?';
    });
    const targets = table.columns.map((column) => quote(column.name));
    this.database.run(
      `INSERT INTO ${quote(beside)} (${targets.join(', ')}) SELECT ${sources.join(', ')} FROM ${quote(old.name)}`,
      values,
    );
    this.database.exec(`DROP TABLE ${quote(old.name)}; ALTER TABLE ${quote(beside)} RENAME TO ${quote(table.name)}`);
    this.set(table, lsn);
    return lsn;
  }

  find(name, known) {
    const found = typeof name === 'string' ? known.get(fold(name)) : undefined;
    if (found === undefined) throw new Wrong(`there is no table \`${(name ?? '').slice(0, 60)}\` here that TableSchema has named`);
    return found.table;
  }

  wipe(name) {
    const table = this.find(name, this.known());
    this.database.exec(`DELETE FROM ${quote(table.name)}`);
    this.set(table, -1n);
  }

  rowData(batches) {
    const known = this.known();
    for (const { info, rows, lsn } of batches) {
      if (info === null) throw new Wrong('a batch does not say which table it is of');
      const table = this.find(info.name, known);
      this.rows(table, info, rows);
      // 0, -1 and none at all are no LSNs: such a batch is not its table's last.
      if (lsn !== null && lsn > 0n) this.set(table, lsn);
    }
  }

  rows(table, info, rows) {
    const columns = info.columns.map((column) => table.at.get(fold(column.name ?? '')));
    if (new Set(columns).size !== table.columns.length || columns.includes(undefined)) {
      throw new Wrong(`a batch for \`${table.name}\` has other columns than the table`);
    }
    const keyAt = columns.indexOf(table.key);
    const names = columns.map((column) => quote(column.name)).join(', ');
    const put = this.database.prepare(
      `INSERT OR REPLACE INTO ${quote(table.name)} (${names}) VALUES (${columns.map(slot).join(', ')})`,
    );
    const gone = this.database.prepare(
      `DELETE FROM ${quote(table.name)} WHERE ${quote(table.key.name)} = ${slot(table.key)}`,
    );
    try {
      for (const { operation, cells } of rows) {
        const keyText = cells[keyAt] ?? null;
        const key = cell(table, table.key, keyText, keyText);
        if (key === null) throw new Wrong(`table \`${table.name}\`: a row without a key`);
        if (operation === 'D') {
          gone.run([key]);
          continue;
        }
        if (operation !== 'I' && operation !== 'U') {
          throw new Wrong(`table \`${table.name}\`, key ${keyText}: \`${operation.slice(0, 20)}\` is not I, U or D`);
        }
        if (cells.length !== columns.length) {
          throw new Wrong(`table \`${table.name}\`, key ${keyText}: ${cells.length} cells, ${columns.length} columns`);
        }
        put.run(columns.map((column, at) => cell(table, column, keyText, cells[at])));
      }
    } finally {
      put.finalize();
      gone.finalize();
    }
  }
}

// node-sqlite3-wasm ends a text at U+0000: such a text goes in as bytes.
const slot = (column) => (column.type.isText ? 'CAST(? AS TEXT)' : '?');
const bound = (value) => (typeof value === 'string' && value.includes('\0') ? Buffer.from(value) : value);

function cell(table, column, key, text) {
  const place = `table \`${table.name}\`, key ${key}, column \`${column.name}\``;
  let value;
  try {
    value = readCell(text, column.type);
  } catch (error) {
    throw error instanceof Wrong ? new Wrong(`${place}: ${error.message}`) : error;
  }
  if (value === null && !column.nullable) throw new Wrong(`${place}: it may not be NULL`);
  return bound(value);
}
