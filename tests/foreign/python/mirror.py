"""A tenant's mirror in SQLite, and the five operations' work on it."""

import hashlib
import json
import sqlite3
import threading
from contextlib import contextmanager
from dataclasses import dataclass

from values import NOW, Wrong, bare_default, parse_default, parse_type, read_cell

NAME_MAX = 128
# 8,000 bytes of names and types are more than any table seen; SQLite itself takes 2,000 columns.
COLUMNS_MAX = 1024


def quote(name):
    return '"' + name.replace('"', '""') + '"'


def fold(name):
    return name.casefold()


def literal(value):
    if isinstance(value, bytes):
        return f"X'{value.hex()}'"
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return repr(value)


# SQL Server's functions in SQLite's words.
FUNCTIONS = {
    **{name: "strftime('%Y-%m-%d %H:%M:%f', 'now', 'localtime')" for name in NOW},
    "getutcdate()": "strftime('%Y-%m-%d %H:%M:%f', 'now')",
    "sysdatetime()": "strftime('%Y-%m-%d %H:%M:%f0000', 'now', 'localtime')",
    "sysutcdatetime()": "strftime('%Y-%m-%d %H:%M:%f0000', 'now')",
    "newid()": "substr(hex(randomblob(4)), 1) || '-' || hex(randomblob(2)) || '-' || hex(randomblob(2)) || '-' || "
    "hex(randomblob(2)) || '-' || hex(randomblob(6))",
}


@dataclass
class Column:
    name: str
    type: object
    nullable: bool
    default: str
    fill: object = None

    def declared_default(self):
        """The default as SQLite is told it: whoever writes to the mirror by hand gets it too."""
        function = FUNCTIONS.get(bare_default(self.default).lower())
        if function is not None:
            return f" DEFAULT ({function})"
        return "" if self.fill is None else f" DEFAULT {literal(self.fill)}"


class Table:
    """A table as a message describes it; the first column is the key."""

    def __init__(self, info):
        self.name = info["name"] or ""
        if not self.name.strip() or len(self.name) > NAME_MAX:
            raise Wrong("a table has no name, or one of more than 128 characters")
        self.columns = []
        for column in info["columns"]:
            name = column["name"] or ""
            if not name.strip() or len(name) > NAME_MAX:
                raise Wrong(f"table `{self.name}`: a column has no name, or one of more than 128 characters")
            type_ = parse_type(column["type"] or "")
            default = column["default"] or ""
            fill = parse_default(default, type_)
            self.columns.append(Column(name, type_, column["nullable"], default, fill))
        if not self.columns:
            raise Wrong(f"table `{self.name}` has no columns")
        if len(self.columns) > COLUMNS_MAX:
            raise Wrong(f"table `{self.name}` has more than {COLUMNS_MAX} columns")
        if self.columns[0].type.is_large:
            raise Wrong(f"table `{self.name}`: a column of type {self.columns[0].type} can be no key")
        self.at = {fold(column.name): place for place, column in enumerate(self.columns)}
        if len(self.at) < len(self.columns):
            raise Wrong(f"table `{self.name}` has two columns of one name")

    @property
    def key(self):
        return self.columns[0]

    def shape(self):
        return [[fold(c.name), str(c.type), c.nullable, c.default] for c in self.columns]

    def hash(self):
        return hashlib.sha256(json.dumps(self.shape()).encode()).hexdigest()

    def to_json(self):
        columns = [
            {"name": c.name, "type": str(c.type), "nullable": c.nullable, "default": c.default}
            for c in self.columns
        ]
        return json.dumps({"name": self.name, "columns": columns})

    def create(self, name):
        parts = []
        for place, column in enumerate(self.columns):
            declared = "INTEGER" if place == 0 and column.type.name == "int" else column.type.declared()
            null = "" if column.nullable and place else " NOT NULL"
            parts.append(f"{quote(column.name)} {declared}{null}{'' if place else ' PRIMARY KEY'}{column.declared_default()}")
        return f"CREATE TABLE {quote(name)} ({', '.join(parts)})"

    def can_become(self, new, has_null):
        """Whether the rows can stay; `has_null` looks whether one of them is NULL in a column."""
        if fold(self.key.name) != fold(new.key.name) or self.key.type != new.key.type:
            return False
        for column in new.columns:
            there = self.at.get(fold(column.name))
            if there is None:
                if not column.nullable and column.fill is None:
                    return False
                continue
            old = self.columns[there]
            if not column.type.takes_all_of(old.type):
                return False
            if old.nullable and not column.nullable and has_null(old):
                return False
        return True


class Mirrors:
    """All mirrors of one endpoint: a file for each tenant, and one call at a time on each."""

    def __init__(self, directory):
        self.directory = directory
        self.locks = {}
        self.guard = threading.Lock()

    @contextmanager
    def call(self, context):
        """One call is one transaction."""
        with self.guard:
            lock = self.locks.setdefault(fold(context), threading.Lock())
        with lock:
            connection = sqlite3.connect(self.directory / f"Mirror_{context}.db", isolation_level=None)
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    yield Mirror(connection, context)
                except BaseException:
                    connection.execute("ROLLBACK")
                    raise
                connection.execute("COMMIT")
            finally:
                connection.close()


class Mirror:
    def __init__(self, connection, context):
        self.connection = connection
        self.own_name = f"{context}_mirroring"
        self.own = quote(self.own_name)
        connection.execute(
            f"CREATE TABLE IF NOT EXISTS {self.own} "
            "(tablename nvarchar(128) NOT NULL PRIMARY KEY, schemahash varchar(64) NOT NULL, LSN bigint NOT NULL, "
            '"schema" "nvarchar(max)" NOT NULL)'
        )

    def there(self):
        """The tables that stand in the database, by folded name."""
        rows = self.connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        return {fold(name): name for (name,) in rows}

    def known(self):
        """The tables that this endpoint made and that are still there, by folded name: table, hash, LSN."""
        there = self.there()
        known = {}
        for name, hash_, lsn, schema in self.connection.execute(
            f'SELECT tablename, schemahash, LSN, "schema" FROM {self.own}'
        ):
            if fold(name) in there:
                known[fold(name)] = (Table(json.loads(schema)), hash_, lsn)
        return known

    def set(self, table, lsn):
        self.forget(table.name)
        self.connection.execute(
            f"INSERT INTO {self.own} VALUES (?, ?, ?, ?)", (table.name, table.hash(), lsn, table.to_json())
        )

    def forget(self, name):
        for (there,) in self.connection.execute(f"SELECT tablename FROM {self.own}").fetchall():
            if fold(there) == fold(name):
                self.connection.execute(f"DELETE FROM {self.own} WHERE tablename = ?", (there,))

    def table_schema(self, infos):
        tables = [Table(info) for info in infos]
        if not tables:
            raise Wrong("a schema without tables drops nothing: it is refused")
        names = [fold(table.name) for table in tables]
        if len(set(names)) < len(names):
            raise Wrong("a table is listed twice")
        if fold(self.own_name) in names:
            raise Wrong(f"`{self.own_name}` is the endpoint's own table")
        known, there = self.known(), self.there()
        lsns = []
        for table in tables:
            lsns.append((table.name, self.fit(table, known.get(fold(table.name)), there)))
        for name, (table, _, _) in known.items():
            if name not in names:
                self.connection.execute(f"DROP TABLE {quote(table.name)}")
                self.forget(table.name)
        return lsns

    def fit(self, table, known, there):
        """Makes the mirror's table what the message says; the LSN that is answered."""
        if known is None:
            if fold(table.name) in there:
                raise Wrong(f"a table `{table.name}` is there that this endpoint did not make")
            self.connection.execute(table.create(table.name))
            self.set(table, -1)
            return -1
        old, hash_, lsn = known
        if hash_ == table.hash():
            return lsn

        def has_null(column):
            sql = f"SELECT EXISTS (SELECT 1 FROM {quote(old.name)} WHERE {quote(column.name)} IS NULL)"
            return self.connection.execute(sql).fetchone()[0] == 1

        if not old.can_become(table, has_null):
            self.connection.execute(f"DROP TABLE {quote(old.name)}")
            self.connection.execute(table.create(table.name))
            self.set(table, -1)
            return -1
        beside = "rebuilt beside " + table.name
        self.connection.execute(table.create(beside))
        targets, sources, values = [], [], []
        for column in table.columns:
            targets.append(quote(column.name))
            place = old.at.get(fold(column.name))
            if place is not None:
                sources.append(quote(old.columns[place].name))
            else:
                # A new column that may be NULL is NULL in rows that are there, default or not.
                sources.append("?")
                values.append(None if column.nullable else column.fill)
        self.connection.execute(
            f"INSERT INTO {quote(beside)} ({', '.join(targets)}) SELECT {', '.join(sources)} FROM {quote(old.name)}",
            values,
        )
        self.connection.execute(f"DROP TABLE {quote(old.name)}")
        self.connection.execute(f"ALTER TABLE {quote(beside)} RENAME TO {quote(table.name)}")
        self.set(table, lsn)
        return lsn

    def find(self, name, known):
        if not name or fold(name) not in known:
            raise Wrong(f"there is no table `{(name or '')[:60]}` here that TableSchema has named")
        return known[fold(name)][0]

    def wipe(self, name):
        table = self.find(name, self.known())
        self.connection.execute(f"DELETE FROM {quote(table.name)}")
        self.set(table, -1)

    def row_data(self, batches):
        known = self.known()
        for batch in batches:
            info = batch["table"]
            if info is None:
                raise Wrong("a batch does not say which table it is of")
            table = self.find(info["name"], known)
            self.rows(table, info, batch["rows"])
            # 0, -1 and none at all are no LSNs: such a batch is not its table's last.
            if batch["lsn"] is not None and batch["lsn"] > 0:
                self.set(table, batch["lsn"])

    def rows(self, table, info, rows):
        order = [fold(column["name"] or "") for column in info["columns"]]
        if sorted(order) != sorted(table.at):
            raise Wrong(f"a batch for `{table.name}` has other columns than the table")
        columns = [table.columns[table.at[name]] for name in order]
        key_at = order.index(fold(table.key.name))
        put = (
            f"INSERT OR REPLACE INTO {quote(table.name)} ({', '.join(quote(c.name) for c in columns)}) "
            f"VALUES ({', '.join('?' * len(columns))})"
        )
        gone = f"DELETE FROM {quote(table.name)} WHERE {quote(table.key.name)} = ?"
        for operation, cells in rows:
            key_text = cells[key_at] if key_at < len(cells) else None
            key = self.cell(table, table.key, key_text, key_text)
            if key is None:
                raise Wrong(f"table `{table.name}`: a row without a key")
            if operation == "D":
                self.connection.execute(gone, (key,))
                continue
            if operation not in ("I", "U"):
                raise Wrong(f"table `{table.name}`, key {key_text}: `{operation[:20]}` is not I, U or D")
            if len(cells) != len(columns):
                raise Wrong(f"table `{table.name}`, key {key_text}: {len(cells)} cells, {len(columns)} columns")
            row = [self.cell(table, c, key_text, text) for c, text in zip(columns, cells)]
            self.connection.execute(put, row)

    @staticmethod
    def cell(table, column, key, text):
        try:
            value = read_cell(text, column.type)
        except Wrong as error:
            raise Wrong(f"table `{table.name}`, key {key}, column `{column.name}`: {error}") from None
        if value is None and not column.nullable:
            raise Wrong(f"table `{table.name}`, key {key}, column `{column.name}`: it may not be NULL")
        return value
