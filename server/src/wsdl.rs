//! The contract in WSDL 1.1, for toolkits that build a client from it: document/literal, SOAP 1.1, all in one file.
//!
//! It is generated from short tables, since it says the same few things many times: every member is optional, every
//! string and structure nillable (seen). Structures are named types, requests and responses are elements.

use std::fmt::Write as _;

use mirrorlab_protocol::names::{ARRAYS, MESSAGES, Operation, STRUCTURES};
use mirrorlab_protocol::xml;

/// The service's name; its file's name without the ending.
const SERVICE: &str = "MirroringClientService";
const PORT_TYPE: &str = "IMirroringClientService";
const BINDING: &str = "MirroringClientServiceSoap";

/// The messages' members in the contract's order (seen).
fn request_members(operation: Operation) -> &'static [Member] {
    const STATE: Member = ("ClientState", "xs:string");
    match operation {
        Operation::Authenticate => &[STATE],
        Operation::TableSchema => &[STATE, ("Tables", "s:ArrayOfTableSchemaInfo")],
        Operation::RowData => &[STATE, ("DataBatches", "s:ArrayOfRowDataBatch")],
        Operation::Wipe => &[STATE, ("TableName", "xs:string")],
        Operation::ReplicationCompleted => &[STATE, ("ChangedTables", "s:ArrayOfReplicationSummary")],
    }
}

/// What responses have beyond `IsSuccessful` and `ErrorMessage` (seen).
fn response_members(operation: Operation) -> &'static [Member] {
    match operation {
        Operation::Authenticate => &[
            ("SignedApplicationToken", "xs:string"),
            ("SupportedInterfaces", "xs:string"),
            ("SuperOfficeMirroringBuild", "xs:string"),
            ("ClientState", "xs:string"),
            ("AdditionalInformationJson", "xs:string"),
        ],
        Operation::TableSchema => &[("MirrorLSN", "s:ArrayOfTableLSN")],
        Operation::RowData | Operation::Wipe | Operation::ReplicationCompleted => &[],
    }
}

/// A name and its type.
type Member = (&'static str, &'static str);

/// The structures, members in alphabetical order (seen).
const STRUCTURE_TYPES: [(&str, &[Member]); 6] = [
    (
        "ColumnInfo",
        &[
            ("DefaultValue", "xs:string"),
            ("IsNullable", "xs:boolean"),
            ("Name", "xs:string"),
            ("Type", "xs:string"),
        ],
    ),
    (
        "TableSchemaInfo",
        &[("Columns", "s:ArrayOfColumnInfo"), ("TableName", "xs:string")],
    ),
    ("TableLSN", &[("LSN", "xs:long"), ("TableName", "xs:string")]),
    (
        "RowData",
        &[("ColumnValues", "a:ArrayOfstring"), ("Operation", "xs:string")],
    ),
    (
        "RowDataBatch",
        &[
            ("Data", "s:ArrayOfRowData"),
            ("LSN", "xs:long"),
            ("TableInfo", "s:TableSchemaInfo"),
        ],
    ),
    (
        "ReplicationSummary",
        &[
            ("Deletes", "xs:int"),
            ("Inserts", "xs:int"),
            ("TableName", "xs:string"),
            ("Updates", "xs:int"),
        ],
    ),
];

/// The contract, with `address` as the service's place.
pub fn document(address: &str) -> String {
    let mut out = format!(
        "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
         <definitions xmlns=\"http://schemas.xmlsoap.org/wsdl/\" xmlns:soap=\"http://schemas.xmlsoap.org/wsdl/soap/\"\n    \
         xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" xmlns:m=\"{MESSAGES}\"\n    \
         xmlns:s=\"{STRUCTURES}\" xmlns:a=\"{ARRAYS}\"\n    \
         name=\"{SERVICE}\" targetNamespace=\"{MESSAGES}\">\n  <types>\n"
    );
    types(&mut out);
    out.push_str("  </types>\n");
    messages(&mut out);
    port_type(&mut out);
    binding(&mut out);
    let _ = write!(
        out,
        "  <service name=\"{SERVICE}\">\n    <port name=\"{BINDING}\" binding=\"m:{BINDING}\">\n      \
         <soap:address location=\"{}\"/>\n    </port>\n  </service>\n</definitions>\n",
        attribute(address)
    );
    out
}

fn types(out: &mut String) {
    // From the innermost schema out: some toolkits want a type before it is used.
    schema_begin(out, ARRAYS, &[]);
    array(out, "string", "xs:string");
    schema_end(out);

    schema_begin(out, STRUCTURES, &[ARRAYS]);
    for (name, members) in STRUCTURE_TYPES {
        let _ = writeln!(out, "      <xs:complexType name=\"{name}\">");
        sequence(out, "        ", members);
        out.push_str("      </xs:complexType>\n");
        // Messages carry structures in lists.
        array(out, name, &format!("s:{name}"));
    }
    schema_end(out);

    schema_begin(out, MESSAGES, &[STRUCTURES]);
    out.push_str("      <xs:element name=\"SignedToken\" nillable=\"true\" type=\"xs:string\"/>\n");
    for operation in Operation::ALL {
        message_element(out, operation.request_element(), request_members(operation));
        let answer: Vec<Member> = [("IsSuccessful", "xs:boolean"), ("ErrorMessage", "xs:string")]
            .into_iter()
            .chain(response_members(operation).iter().copied())
            .collect();
        message_element(out, operation.response_element(), &answer);
    }
    schema_end(out);
}

fn schema_begin(out: &mut String, namespace: &str, imports: &[&str]) {
    let _ = writeln!(
        out,
        "    <xs:schema targetNamespace=\"{namespace}\" elementFormDefault=\"qualified\">"
    );
    for import in imports {
        let _ = writeln!(out, "      <xs:import namespace=\"{import}\"/>");
    }
}

fn schema_end(out: &mut String) {
    out.push_str("    </xs:schema>\n");
}

fn array(out: &mut String, item: &str, ty: &str) {
    let _ = writeln!(
        out,
        "      <xs:complexType name=\"ArrayOf{item}\">\n        <xs:sequence>\n          \
         <xs:element name=\"{item}\" type=\"{ty}\" minOccurs=\"0\" maxOccurs=\"unbounded\" nillable=\"true\"/>\n        \
         </xs:sequence>\n      </xs:complexType>"
    );
}

fn message_element(out: &mut String, name: &str, members: &[Member]) {
    let _ = writeln!(
        out,
        "      <xs:element name=\"{name}\">\n        <xs:complexType>"
    );
    sequence(out, "          ", members);
    out.push_str("        </xs:complexType>\n      </xs:element>\n");
}

fn sequence(out: &mut String, indent: &str, members: &[Member]) {
    let _ = writeln!(out, "{indent}<xs:sequence>");
    for (name, ty) in members {
        // Numbers and truth values are left out where they are not known; everything else may be nil as well.
        let nillable = if matches!(*ty, "xs:boolean" | "xs:int" | "xs:long") {
            ""
        } else {
            " nillable=\"true\""
        };
        let _ = writeln!(
            out,
            "{indent}  <xs:element name=\"{name}\" type=\"{ty}\" minOccurs=\"0\"{nillable}/>"
        );
    }
    let _ = writeln!(out, "{indent}</xs:sequence>");
}

fn messages(out: &mut String) {
    for operation in Operation::ALL {
        for element in [operation.request_element(), operation.response_element()] {
            let _ = writeln!(
                out,
                "  <message name=\"{element}\"><part name=\"parameters\" element=\"m:{element}\"/></message>"
            );
        }
    }
    // In a message of its own, so that toolkits keep the header apart from the body's parts.
    out.push_str(
        "  <message name=\"Headers\"><part name=\"SignedToken\" element=\"m:SignedToken\"/></message>\n",
    );
}

fn port_type(out: &mut String) {
    let _ = writeln!(out, "  <portType name=\"{PORT_TYPE}\">");
    for operation in Operation::ALL {
        let _ = writeln!(
            out,
            "    <operation name=\"{operation}\"><input message=\"m:{}\"/><output message=\"m:{}\"/></operation>",
            operation.request_element(),
            operation.response_element()
        );
    }
    out.push_str("  </portType>\n");
}

fn binding(out: &mut String) {
    let _ = writeln!(
        out,
        "  <binding name=\"{BINDING}\" type=\"m:{PORT_TYPE}\">\n    \
         <soap:binding style=\"document\" transport=\"http://schemas.xmlsoap.org/soap/http\"/>"
    );
    for operation in Operation::ALL {
        let _ = writeln!(
            out,
            "    <operation name=\"{operation}\">\n      <soap:operation soapAction=\"{}\" style=\"document\"/>\n      \
             <input><soap:header message=\"m:Headers\" part=\"SignedToken\" use=\"literal\"/><soap:body use=\"literal\"/></input>\n      \
             <output><soap:body use=\"literal\"/></output>\n    </operation>",
            operation.action()
        );
    }
    out.push_str("  </binding>\n");
}

/// A text as it stands in an attribute or in HTML.
pub(crate) fn attribute(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    xml::escape(&mut bytes, text);
    String::from_utf8_lossy(&bytes)
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirrorlab_protocol::xml::Reader;

    #[test]
    fn the_contract() {
        insta::assert_snapshot!(document("https://mirror.example/sub/MirroringClientService.svc"));
    }

    #[test]
    fn an_address_cannot_leave_its_attribute() {
        let text = document("https://x\"/><evil a='\u{1}&<>");
        assert!(text.contains("location=\"https://x&quot;/&gt;&lt;evil a=&#39;&#x1;&amp;&lt;&gt;\""));
        let mut reader = Reader::new(&text);
        reader.root().unwrap();
        reader.skip().unwrap();
        reader.finish().unwrap();
    }
}
