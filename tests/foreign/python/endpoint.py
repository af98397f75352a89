"""A mirroring endpoint on http.server and lxml: a partner's, as far from Mirrorlab's own stack as it can be.

    python3 endpoint.py --keys KEYS --application-id ID --mirrors DIRECTORY --wsdl FILE

It listens on a free port of 127.0.0.1 and prints its URL.
"""

import argparse
import re
import socket
import sys
import traceback
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from lxml import etree

from mirror import Mirrors
from trust import Refused, Trust
from values import Wrong

SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
SOAP12 = "http://www.w3.org/2003/05/soap-envelope"
MESSAGES = "http://www.superoffice.com/online/mirroring/0.1"
STRUCTURES = "http://schemas.datacontract.org/2004/07/SuperOffice.Online.Mirroring.Contract.V1"
ARRAYS = "http://schemas.microsoft.com/2003/10/Serialization/Arrays"
INSTANCE = "http://www.w3.org/2001/XMLSchema-instance"
ACTION = f"{MESSAGES}/IMirroringClientService/"
OPERATIONS = ("Authenticate", "TableSchema", "RowData", "Wipe", "ReplicationCompleted")
BODY_BYTES_MAX = 512 * 1024 * 1024
# Begins a character that XML 1.0 does not have, as six digits, while the text is XML; itself it is written so too.
SHELTER = "\U0010F000"


class Fault(Exception):
    def __init__(self, code, text, status=500):
        super().__init__(text)
        self.code, self.status = code, status


class Malformed(Exception):
    """No XML that can be read: HTTP 400."""


# --- XML ------------------------------------------------------------------------------------------------------------


def is_forbidden(code):
    return (code < 0x20 and code not in (9, 10, 13)) or code in (0xFFFE, 0xFFFF)


REFERENCE = re.compile(r"<!\[CDATA\[.*?\]\]>|<!--.*?-->|&#(?:x([0-9a-fA-F]{1,8})|([0-9]{1,9}));", re.DOTALL)


def shelter(text):
    """.NET writes `&#x1;`, and lxml refuses it, as XML 1.0 has it: such a character waits elsewhere."""

    def one(found):
        if found[1] is None and found[2] is None:
            return found[0]
        code = int(found[1], 16) if found[1] else int(found[2])
        return f"{SHELTER}{code:06x}" if is_forbidden(code) or code == ord(SHELTER) else found[0]

    return REFERENCE.sub(one, text.replace(SHELTER, f"{SHELTER}{ord(SHELTER):06x}"))


SHELTERED = re.compile(f"{SHELTER}([0-9a-f]{{6}})")


def unshelter(text):
    return SHELTERED.sub(lambda found: chr(int(found[1], 16)), text)


def decode(body):
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if body.startswith(mark):
            break
    else:
        encoding = "utf-8"
    try:
        text = body.decode(encoding)
    except UnicodeDecodeError as error:
        raise Malformed(str(error)) from None
    return re.sub(r"\A<\?xml\s[^>]*\?>", "", text)


def parse(body):
    parser = etree.XMLParser(
        resolve_entities=False, no_network=True, load_dtd=False, huge_tree=True, remove_comments=True, remove_pis=True
    )
    try:
        root = etree.fromstring(shelter(decode(body)).encode(), parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise Malformed(str(error)) from None
    if root.getroottree().docinfo.internalDTD is not None or root.getroottree().docinfo.doctype:
        raise Malformed("a document type definition")
    return root


def is_blank(text):
    return text is None or not text.strip()


def children(element):
    """The elements in an element that has nothing else."""
    if not is_blank(element.text):
        raise Fault("Client", f"text in {etree.QName(element).localname}")
    for child in element:
        if not is_blank(child.tail):
            raise Fault("Client", f"text behind {etree.QName(child).localname}")
        yield child


def members(element, names, namespace):
    """The members that the contract knows, in any order; strangers are skipped, unless they have a member's name."""
    found = {}
    for child in children(element):
        name = etree.QName(child)
        if name.localname in names:
            if name.namespace != namespace:
                raise Fault("Client", f"{name.localname} in a namespace that is not its own")
            found[name.localname] = child
    return found


def items(element, name, namespace):
    if element is None or is_nil(element):
        return
    for child in children(element):
        if child.tag != f"{{{namespace}}}{name}":
            raise Fault("Client", f"a stranger in {etree.QName(element).localname}")
        yield child


def is_nil(element):
    return element.get(f"{{{INSTANCE}}}nil", "false").strip() in ("true", "1")


def text_of(element):
    """None is NULL, and nothing at all."""
    if element is None or is_nil(element):
        return None
    if len(element):
        raise Fault("Client", f"an element in the text of {etree.QName(element).localname}")
    return unshelter(element.text or "")


def table_info(element):
    if element is None or is_nil(element):
        return None
    parts = members(element, ("Columns", "TableName"), STRUCTURES)
    columns = []
    for item in items(parts.get("Columns"), "ColumnInfo", STRUCTURES):
        column = members(item, ("DefaultValue", "IsNullable", "Name", "Type"), STRUCTURES)
        columns.append(
            {
                "default": text_of(column.get("DefaultValue")),
                "nullable": (text_of(column.get("IsNullable")) or "").strip() in ("true", "1"),
                "name": text_of(column.get("Name")),
                "type": text_of(column.get("Type")),
            }
        )
    return {"name": text_of(parts.get("TableName")), "columns": columns}


def batch_of(element):
    parts = members(element, ("Data", "LSN", "TableInfo"), STRUCTURES)
    rows = []
    for item in items(parts.get("Data"), "RowData", STRUCTURES):
        row = members(item, ("ColumnValues", "Operation"), STRUCTURES)
        cells = [text_of(cell) for cell in items(row.get("ColumnValues"), "string", ARRAYS)]
        rows.append(((text_of(row.get("Operation")) or "").strip(), cells))
    lsn = text_of(parts.get("LSN"))
    if lsn is not None:
        if not re.fullmatch(r"\s*[+-]?\d{1,19}\s*", lsn) or not -(2**63) <= int(lsn) < 2**63:
            raise Fault("Client", "LSN is not a number of 64 bits")
        lsn = int(lsn)
    return {"rows": rows, "lsn": lsn, "table": table_info(parts.get("TableInfo"))}


# --- The service ----------------------------------------------------------------------------------------------------


class Service:
    def __init__(self, trust, mirrors):
        self.trust, self.mirrors = trust, mirrors

    def call(self, operation, body):
        token, message = self.open(parse(body), operation)
        try:
            tenant, nonce = self.trust.admit(token)
            with self.mirrors.call(tenant) as mirror:
                rest = getattr(self, operation)(mirror, message, nonce)
        except (Refused, Wrong) as error:
            return response(operation, [("IsSuccessful", "false"), ("ErrorMessage", escape(str(error)))])
        return response(operation, [("IsSuccessful", "true"), ("ErrorMessage", None), *rest])

    @staticmethod
    def open(root, operation):
        name = etree.QName(root)
        if name.localname == "Envelope" and name.namespace == SOAP12:
            raise Fault("VersionMismatch", "SOAP 1.1 is spoken here")
        if root.tag != f"{{{SOAP}}}Envelope":
            raise Fault("Client", "no SOAP envelope")
        token, message = None, None
        for part in children(root):
            if part.tag == f"{{{SOAP}}}Header":
                for header in children(part):
                    if header.tag == f"{{{MESSAGES}}}SignedToken":
                        token = text_of(header)
                    elif header.get(f"{{{SOAP}}}mustUnderstand") == "1":
                        raise Fault("MustUnderstand", f"the header {header.tag} is not understood")
            elif part.tag == f"{{{SOAP}}}Body":
                bodies = list(children(part))
                if len(bodies) != 1:
                    raise Fault("Client", "one message is expected in Body")
                message = bodies[0]
        if message is None or message.tag != f"{{{MESSAGES}}}{operation}Request":
            raise Fault("Client", f"{operation}Request is expected in Body")
        return token, message

    def Authenticate(self, mirror, message, nonce):
        state = text_of(members(message, ("ClientState",), MESSAGES).get("ClientState"))
        return [
            ("SignedApplicationToken", escape(self.trust.answer(nonce))),
            ("SupportedInterfaces", "1"),
            ("SuperOfficeMirroringBuild", "4.0.0.0/Release_1"),
            ("ClientState", None if state is None else escape(state)),
            ("AdditionalInformationJson", None),
        ]

    def TableSchema(self, mirror, message, nonce):
        tables = members(message, ("ClientState", "Tables"), MESSAGES).get("Tables")
        infos = [table_info(item) for item in items(tables, "TableSchemaInfo", STRUCTURES)]
        lsns = mirror.table_schema([info for info in infos if info is not None])
        inner = "".join(
            f"<a:TableLSN><a:LSN>{lsn}</a:LSN><a:TableName>{escape(name)}</a:TableName></a:TableLSN>"
            for name, lsn in lsns
        )
        return [("MirrorLSN", inner)]

    def RowData(self, mirror, message, nonce):
        batches = members(message, ("ClientState", "DataBatches"), MESSAGES).get("DataBatches")
        mirror.row_data([batch_of(item) for item in items(batches, "RowDataBatch", STRUCTURES)])
        return []

    def Wipe(self, mirror, message, nonce):
        mirror.wipe(text_of(members(message, ("ClientState", "TableName"), MESSAGES).get("TableName")))
        return []

    def ReplicationCompleted(self, mirror, message, nonce):
        changed = members(message, ("ClientState", "ChangedTables"), MESSAGES).get("ChangedTables")
        for item in items(changed, "ReplicationSummary", STRUCTURES):
            members(item, ("Deletes", "Inserts", "TableName", "Updates"), STRUCTURES)
        return []


def envelope(body):
    return f'<s:Envelope xmlns:s="{SOAP}"><s:Body>{body}</s:Body></s:Envelope>'.encode()


def response(operation, parts):
    inner = "".join(
        f'<{name} i:nil="true"/>' if text is None else f"<{name}>{text}</{name}>" for name, text in parts
    )
    return envelope(
        f'<{operation}Response xmlns="{MESSAGES}" xmlns:a="{STRUCTURES}" xmlns:i="{INSTANCE}">{inner}'
        f"</{operation}Response>"
    )


def fault(code, text):
    return envelope(
        f"<s:Fault><faultcode>s:{code}</faultcode><faultstring>{escape(text[:500])}</faultstring></s:Fault>"
    )


# --- HTTP -----------------------------------------------------------------------------------------------------------


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "partner"
    # Head and body leave in one piece.
    wbufsize = 64 * 1024
    disable_nagle_algorithm = True
    timeout = 60

    def log_message(self, *_):
        pass

    def handle_expect_100(self):
        going_on = super().handle_expect_100()
        self.wfile.flush()
        return going_on

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path != self.server.path:
            self.answer(404, "text/plain", b"nothing here")
        elif query.lower() in ("wsdl", "singlewsdl"):
            address = quoteattr(self.server.url)
            wsdl = re.sub(r'location="[^"]*"', lambda _: f"location={address}", self.server.wsdl)
            self.answer(200, "text/xml; charset=utf-8", wsdl.encode())
        else:
            page = "<!doctype html><title>Mirroring</title><p>This is a mirroring endpoint. It takes POST.</p>"
            self.answer(200, "text/html; charset=utf-8", page.encode())

    def read_body(self):
        if "chunked" not in self.headers.get("Transfer-Encoding", "").lower():
            length = self.headers.get("Content-Length", "0")
            if not length.isdigit() or int(length) > BODY_BYTES_MAX:
                raise ValueError(f"a Content-Length of {length[:20]}")
            return self.rfile.read(int(length))
        body = bytearray()
        while True:
            size = int(self.rfile.readline(100).split(b";")[0], 16)
            if len(body) + size > BODY_BYTES_MAX:
                raise ValueError("a body that is too large")
            body += self.rfile.read(size)
            self.rfile.readline(100)
            if size == 0:
                return bytes(body)

    def do_POST(self):
        xml = "text/xml; charset=utf-8"
        try:
            body = self.read_body()
        except ValueError as error:
            self.close_connection = True
            return self.answer(400, "text/plain", str(error).encode())
        if self.path.partition("?")[0] != self.server.path:
            return self.answer(404, "text/plain", b"nothing here")
        if self.headers.get_content_type() != "text/xml":
            return self.answer(415, "text/plain", b"text/xml is expected")
        action = self.headers.get("SOAPAction", "").strip().strip('"')
        operation = action.removeprefix(ACTION)
        try:
            if not action.startswith(ACTION) or operation not in OPERATIONS:
                raise Fault("ActionNotSupported", f"the action {action[:200]} is not known")
            self.answer(200, xml, self.server.service.call(operation, body))
        except Fault as error:
            self.answer(error.status, xml, fault(error.code, str(error)))
        except Malformed as error:
            self.answer(400, "text/plain; charset=utf-8", str(error)[:500].encode())
        except Exception:
            traceback.print_exc()
            self.answer(HTTPStatus.INTERNAL_SERVER_ERROR, xml, fault("Server", "something went wrong"))


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    address_family = socket.AF_INET


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--keys", type=Path, required=True)
    arguments.add_argument("--application-id", required=True)
    arguments.add_argument("--mirrors", type=Path, required=True)
    arguments.add_argument("--wsdl", type=Path, required=True)
    given = arguments.parse_args()
    server = Server(("127.0.0.1", 0), Handler)
    server.path = "/python/MirroringClientService.svc"
    server.url = f"http://127.0.0.1:{server.server_port}{server.path}"
    server.wsdl = given.wsdl.read_text(encoding="utf-8")
    server.service = Service(Trust(given.keys, given.application_id), Mirrors(given.mirrors))
    print(server.url, flush=True)
    sys.stdin.close()
    server.serve_forever()


if __name__ == "__main__":
    main()
