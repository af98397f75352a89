"""Builds a client from the served contract with zeep and calls every operation.

Arguments: the service's address, and a file with one signed token a line. Prints one JSON object: what each step got back.
"""

import json
import sys

import zeep
from lxml import etree
from zeep import xsd
from zeep.helpers import serialize_object

MESSAGES = "http://www.superoffice.com/online/mirroring/0.1"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"

address, token_file = sys.argv[1:]
with open(token_file, encoding="ascii") as lines:
    tokens = lines.read().split()


def header(token):
    element = etree.Element(f"{{{MESSAGES}}}SignedToken")
    element.set(f"{{{SOAP}}}mustUnderstand", "1")
    element.text = f"\n  {token}\n"
    return element


def call(client, operation, token=None, **members):
    token = tokens.pop(0) if token is None else token
    answer = client.service[operation](**members, _soapheaders=[header(token)])
    return serialize_object(answer, dict)


# Both forms of the contract must give the same client.
plain = zeep.Client(f"{address}?wsdl")
client = zeep.Client(f"{address}?singleWsdl")
operations = [sorted(c.service._binding._operations) for c in (plain, client)]

columns = {
    "ColumnInfo": [
        {"DefaultValue": "", "IsNullable": False, "Name": "id", "Type": "int"},
        {"DefaultValue": "default (N'')", "IsNullable": False, "Name": "name", "Type": "nvarchar(99)"},
        {"DefaultValue": "", "IsNullable": True, "Name": "price", "Type": "decimal(10,2)"},
        {"DefaultValue": "default ((0))", "IsNullable": True, "Name": "deleted", "Type": "smallint"},
    ]
}
table = {"Columns": columns, "TableName": "y_thing"}


def rows(*given):
    return {
        "RowData": [{"ColumnValues": {"string": list(cells)}, "Operation": operation} for operation, cells in given]
    }


def batches(data, lsn, info=table):
    return {"RowDataBatch": [{"Data": data, "LSN": lsn, "TableInfo": info}]}


got = {"operations": operations}
got["nonsense"] = call(client, "Authenticate", token="nonsense", ClientState="x")
got["authenticate"] = call(plain, "Authenticate", ClientState="from the last cycle")
got["schema"] = call(client, "TableSchema", ClientState="s", Tables={"TableSchemaInfo": [table]})
got["wipe"] = call(client, "Wipe", ClientState="s", TableName="Y_Thing")
data = rows(
    ("I", ["[I:1]", " <å&]]> 😀\r\n\t\"x\" ", "[F:12.50]", "[S:0]"]),
    ("I", ["[I:2]", "", xsd.Nil, xsd.Nil]),
    ("I", ["[I:3]", "[I:5]", "7", "1"]),
    ("U", ["[I:3]", "seven", "[M:7]", "[S:1]"]),
    ("I", ["[I:4]", "gone", xsd.Nil, xsd.Nil]),
    ("D", ["[I:4]", xsd.Nil, xsd.Nil, xsd.Nil]),
)
got["rows"] = call(client, "RowData", ClientState="s", DataBatches=batches(data, 42))
got["bad_cell"] = call(client, "RowData", DataBatches=batches(rows(("I", ["[I:x]", "", xsd.Nil, xsd.Nil])), 43))
got["schema_again"] = call(client, "TableSchema", Tables={"TableSchemaInfo": [table]})
changed = {"ReplicationSummary": [{"Deletes": 1, "Inserts": 4, "TableName": "y_thing", "Updates": 1}]}
got["completed"] = call(client, "ReplicationCompleted", ClientState="s", ChangedTables=changed)
got["completed_quiet"] = call(client, "ReplicationCompleted")

got["wipe_unknown"] = call(client, "Wipe", TableName="y_other")
json.dump(got, sys.stdout, default=str)
