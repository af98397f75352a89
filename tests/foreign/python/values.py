"""SQL Server's column types, defaults and cells, as text from outside that is read into closed lists."""

import base64
import binascii
import datetime
import decimal
import re
import struct
from dataclasses import dataclass


class Wrong(Exception):
    """What came cannot be kept; the text goes to the caller."""


INTEGERS = {
    "int": (-(2**31), 2**31 - 1),
    "integer": (-(2**31), 2**31 - 1),
    "smallint": (-(2**15), 2**15 - 1),
    "tinyint": (0, 255),
    "bigint": (-(2**63), 2**63 - 1),
    "bit": (0, 1),
}
WIDTH = ["tinyint", "smallint", "int", "bigint"]
TEXTS = {"nvarchar": 4000, "varchar": 8000, "nchar": 4000, "char": 8000}
LONG_TEXTS = {"ntext", "text"}
BYTES = {"varbinary": 8000, "binary": 8000}
MOMENTS = {"datetime", "smalldatetime", "datetime2", "datetimeoffset", "date"}
EXACT = decimal.Context(prec=80, rounding=decimal.ROUND_HALF_UP)
TICKS_A_SECOND = 10_000_000
TICKS_A_DAY = 86_400 * TICKS_A_SECOND


@dataclass(frozen=True)
class Type:
    """`length` is None where there is no limit; `digits` are those of a second, or behind the point."""

    name: str
    length: int | None = None
    precision: int = 0
    digits: int = 0

    @property
    def is_text(self):
        return self.name in TEXTS or self.name in LONG_TEXTS

    @property
    def is_binary(self):
        return self.name in BYTES or self.name in ("image", "rowversion")

    @property
    def is_large(self):
        return self.name in LONG_TEXTS or self.name == "image" or (
            (self.name in TEXTS or self.name in BYTES) and self.length is None
        )

    @property
    def is_exact(self):
        return self.name in ("decimal", "money", "smallmoney")

    def __str__(self):
        if self.name in TEXTS or self.name in BYTES:
            return f"{self.name}({self.length or 'max'})"
        if self.name == "decimal":
            return f"decimal({self.precision},{self.digits})"
        if self.name in ("datetime2", "datetimeoffset", "time"):
            return f"{self.name}({self.digits})"
        return self.name

    def declared(self):
        """The type that SQLite is told. Exact numbers are text there: SQLite would make floats of them."""
        if self.name == "decimal":
            return f"decimal_text({self.precision},{self.digits})"
        if self.is_exact:
            return f"{self.name}_text"
        return '"' + str(self) + '"'

    def takes_all_of(self, old):
        """Whether every value of `old` is one of this type, in the same stored form."""
        if self == old:
            return True
        if self.name in WIDTH and old.name in WIDTH:
            return WIDTH.index(self.name) >= WIDTH.index(old.name)
        if self.name == old.name and (self.name in TEXTS or self.name in BYTES):
            return self.length is None or (old.length is not None and self.length >= old.length)
        return False


def parse_type(text):
    found = re.fullmatch(r"\s*([a-z0-9]+(?:\s+precision)?)\s*(?:\(([^()]*)\))?\s*", text.lower())
    if not found:
        raise Wrong(f"`{text}` is not a column type of SQL Server")
    name, inside = re.sub(r"\s+", " ", found[1]), found[2]
    arguments = [] if inside is None else [a.strip() for a in inside.split(",")]

    def number(at, low, high, otherwise):
        if at >= len(arguments):
            return otherwise
        if not re.fullmatch(r"\d{1,4}", arguments[at]) or not low <= int(arguments[at]) <= high:
            raise Wrong(f"`{text}`: {low} to {high} may stand in the parentheses")
        return int(arguments[at])

    def at_most(count):
        if len(arguments) > count:
            raise Wrong(f"`{text}` has too much in its parentheses")

    if name in INTEGERS:
        at_most(0)
        return Type("int" if name == "integer" else name)
    if name in TEXTS or name in BYTES:
        at_most(1)
        if arguments == ["max"] and name.startswith(("nvar", "var")):
            return Type(name)
        return Type(name, number(0, 1, (TEXTS | BYTES)[name], 1))
    if name in ("decimal", "numeric", "dec"):
        at_most(2)
        precision = number(0, 1, 38, 18)
        return Type("decimal", None, precision, number(1, 0, precision, 0))
    if name == "float":
        at_most(1)
        return Type("real" if number(0, 1, 53, 53) <= 24 else "float")
    if name in ("datetime2", "datetimeoffset", "time"):
        at_most(1)
        return Type(name, None, 0, number(0, 0, 7, 7))
    at_most(0)
    if name == "double precision":
        return Type("float")
    if name in ("timestamp", "rowversion"):
        return Type("rowversion", 8)
    if name in ("money", "smallmoney"):
        return Type(name, None, 19 if name == "money" else 10, 4)
    if name in ("real", "datetime", "smalldatetime", "date", "ntext", "text", "image", "uniqueidentifier"):
        return Type(name)
    raise Wrong(f"`{text}` is not a column type of SQL Server")


NOW = ("getdate()", "getutcdate()", "sysdatetime()", "sysutcdatetime()", "current_timestamp")


def bare_default(text):
    """A default without what SQL Server puts around it."""
    rest = re.sub(r"(?i)^default\b", "", text.strip()).strip()
    while rest.startswith("(") and rest.endswith(")"):
        rest = rest[1:-1].strip()
    return rest


def parse_default(text, type_):
    """The value that rows which are there get in a new column; None where there is no default."""
    rest = bare_default(text)
    if not rest or rest.lower() == "null":
        return None
    if rest.lower() in NOW:
        return store(datetime.datetime.now().strftime("%Y-%m-%d %H:%M:%S.%f"), type_)
    if rest.lower() in ("newid()", "newsequentialid()"):
        return "00000000-0000-0000-0000-000000000000"
    quoted = re.fullmatch(r"[Nn]?'((?:[^']|'')*)'", rest)
    if quoted:
        bare = quoted[1].replace("''", "'")
        if bare == "" and not type_.is_text:
            bare = "1900-01-01" if type_.name in MOMENTS else "0"
        return store(bare, type_)
    if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", rest):
        if type_.name in ("datetime", "smalldatetime"):
            day = datetime.date(1900, 1, 1) + datetime.timedelta(days=int(rest))
            return store(day.isoformat(), type_)
        return store(rest, type_)
    if re.fullmatch(r"0[xX]([0-9a-fA-F]{2})*", rest) and type_.is_binary:
        return bytes.fromhex(rest[2:])
    raise Wrong(f"`{text}` is not a default that can be kept")


MARKED = re.compile(r"\[([A-Z]{1,2}):(.*)\]", re.DOTALL)


def read_cell(text, type_):
    """A cell as the wire writes it, as SQLite keeps it."""
    if text is None:
        return None
    if type_.is_text:
        return store(text, type_)
    if text == "":
        return None
    marked = MARKED.fullmatch(text)
    if not marked:
        return store(text, type_)
    if marked[1] not in markers(type_):
        raise Wrong(f"`{text[:60]}` is not a value of type {type_}")
    return store(marked[2], type_)


def markers(type_):
    if type_.name in INTEGERS:
        return ("I", "S", "L")
    if type_.name in ("float", "real") or type_.is_exact:
        return ("I", "S", "L", "F", "M")
    if type_.name in MOMENTS:
        return ("DT", "D")
    if type_.name == "time":
        return ("T", "DT")
    if type_.is_binary:
        return ("B",)
    return ()


def store(text, type_):
    value = stored(text, type_)
    if value is None:
        raise Wrong(f"`{text[:60]}` is not a value of type {type_}")
    return value


def stored(text, type_):
    if type_.is_text:
        units = len(text.encode("utf-16-le")) // 2
        return text if type_.length is None or units <= type_.length else None
    if type_.name in INTEGERS:
        return integer(text, type_)
    if type_.name in ("float", "real"):
        return floating(text, type_)
    if type_.is_exact:
        return exact(text, type_)
    if type_.name in MOMENTS:
        return moment(text, type_)
    if type_.name == "time":
        found = re.fullmatch(r"(?:\d\d/\d\d/\d{4} |\d{4}-\d\d-\d\d )?(\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?)", text)
        return found and clock(found[1], type_.digits, wraps=True)
    if type_.is_binary:
        return octets(text, type_)
    if type_.name == "uniqueidentifier":
        found = re.fullmatch(r"\{?([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\}?", text)
        return found and found[1].upper()
    return None


def integer(text, type_):
    if type_.name == "bit" and text.lower() in ("true", "false"):
        return int(text.lower() == "true")
    if not re.fullmatch(r"[+-]?\d{1,30}", text):
        return None
    low, high = INTEGERS[type_.name]
    return int(text) if low <= int(text) <= high else None


def is_number(text):
    return re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", text)


def floating(text, type_):
    if not is_number(text):
        return None
    value = float(text)
    if type_.name == "real":
        try:
            value = struct.unpack("<f", struct.pack("<f", value))[0]
        except OverflowError:
            return None
    return value if abs(value) != float("inf") else None


def exact(text, type_):
    if not is_number(text):
        return None
    try:
        value = decimal.Decimal(text).quantize(decimal.Decimal(1).scaleb(-type_.digits), context=EXACT)
    except decimal.InvalidOperation:
        return None
    units = int(value.scaleb(type_.digits, context=EXACT))
    limits = {"money": 2**63, "smallmoney": 2**31}
    if type_.name in limits:
        return format(value, "f") if -limits[type_.name] <= units < limits[type_.name] else None
    return format(value, "f") if abs(units) < 10**type_.precision else None


def octets(text, type_):
    try:
        value = base64.b64decode(re.sub(r"\s", "", text), validate=True)
    except binascii.Error:
        return None
    return value if type_.length is None or len(value) <= type_.length else None


MOMENT = re.compile(
    r"(?:(\d\d)/(\d\d)/(\d{4})|(\d{4})-?(\d\d)-?(\d\d))(?:[ T](\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?))?(?: ([+-]\d\d:\d\d))?"
)


def ticks(clock_text):
    parts = clock_text.split(":")
    second, _, fraction = (parts[2] if len(parts) > 2 else "0").partition(".")
    hour, minute = int(parts[0]), int(parts[1])
    if hour > 23 or minute > 59 or int(second) > 59:
        return None
    return ((hour * 60 + minute) * 60 + int(second)) * TICKS_A_SECOND + int(fraction.ljust(7, "0") or 0)


def clock_text(of_day, digits):
    second, fraction = divmod(of_day, TICKS_A_SECOND)
    text = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return text + ("." + f"{fraction:07}"[:digits] if digits else "")


def clock(text, digits, wraps):
    of_day = ticks(text)
    if of_day is None:
        return None
    unit = 10 ** (7 - digits)
    of_day = (of_day + unit // 2) // unit * unit
    if wraps:
        # A time that would be rounded into the next day stays at the day's last moment.
        of_day = min(of_day, TICKS_A_DAY - unit)
    return clock_text(of_day, digits)


def moment(text, type_):
    found = MOMENT.fullmatch(text)
    if not found or (found[8] is not None) != (type_.name == "datetimeoffset"):
        return None
    year, month, day = (found[3], found[1], found[2]) if found[3] else (found[4], found[5], found[6])
    try:
        date = datetime.date(int(year), int(month), int(day))
    except ValueError:
        return None
    of_day = ticks(found[7]) if found[7] else 0
    if of_day is None:
        return None
    if type_.name == "date":
        return date.isoformat()
    digits = type_.digits
    if type_.name == "datetime":
        # Kept to a three-hundredth of a second, shown in whole milliseconds.
        parts = (of_day * 300 + TICKS_A_SECOND // 2) // TICKS_A_SECOND
        second, rest = divmod(parts, 300)
        of_day = second * TICKS_A_SECOND + (rest * 10 + 1) // 3 * 10_000
        digits = 3
    elif type_.name == "smalldatetime":
        of_day = (of_day + 30 * TICKS_A_SECOND) // (60 * TICKS_A_SECOND) * 60 * TICKS_A_SECOND
    else:
        unit = 10 ** (7 - digits)
        of_day = (of_day + unit // 2) // unit * unit
    if of_day >= TICKS_A_DAY:
        of_day -= TICKS_A_DAY
        if date == datetime.date.max:
            return None
        date += datetime.timedelta(days=1)
    if type_.name == "datetime" and date.year < 1753:
        return None
    if type_.name == "smalldatetime" and not datetime.date(1900, 1, 1) <= date <= datetime.date(2079, 6, 6):
        return None
    offset = f" {found[8]}" if found[8] else ""
    return f"{date.isoformat()} {clock_text(of_day, digits)}{offset}"
