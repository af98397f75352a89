//! Names that both sides must write alike: namespaces, operations, SOAP actions.

/// Namespace of the messages and of the `SignedToken` header.
pub const MESSAGES: &str = "http://www.superoffice.com/online/mirroring/0.1";
/// Namespace of the structures inside messages.
pub const STRUCTURES: &str =
    "http://schemas.datacontract.org/2004/07/SuperOffice.Online.Mirroring.Contract.V1";
/// Namespace of the `string` elements inside `ColumnValues`.
pub const ARRAYS: &str = "http://schemas.microsoft.com/2003/10/Serialization/Arrays";
/// Namespace of `nil`.
pub const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";
/// SOAP 1.1's envelope.
pub const SOAP11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
/// SOAP 1.2's envelope, recognised only to say that it is not spoken here.
pub const SOAP12: &str = "http://www.w3.org/2003/05/soap-envelope";

/// What a SOAP action starts with, before the operation's name (seen).
pub const ACTION_PREFIX: &str = "http://www.superoffice.com/online/mirroring/0.1/IMirroringClientService/";
/// The content type of every request and response (seen).
pub const CONTENT_TYPE: &str = "text/xml; charset=utf-8";
/// What a service's path ends in, after any prefix the partner chose (seen, doc).
pub const SERVICE_FILE: &str = "MirroringClientService.svc";

/// One of the five operations of the mirroring contract (seen).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Operation {
    /// Opens a cycle; the only call whose answer is signed.
    Authenticate,
    /// Carries every mirrored table's schema; answers the LSN stored for each.
    TableSchema,
    /// Carries rows, and with a table's last batch its LSN.
    RowData,
    /// Empties one table before it is sent anew.
    Wipe,
    /// Closes a cycle with its counts.
    ReplicationCompleted,
}

impl Operation {
    /// All five, in the order of a cycle.
    pub const ALL: [Operation; 5] = [
        Operation::Authenticate,
        Operation::TableSchema,
        Operation::Wipe,
        Operation::RowData,
        Operation::ReplicationCompleted,
    ];

    /// The operation's name, as it stands in the contract.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Authenticate => "Authenticate",
            Operation::TableSchema => "TableSchema",
            Operation::RowData => "RowData",
            Operation::Wipe => "Wipe",
            Operation::ReplicationCompleted => "ReplicationCompleted",
        }
    }

    /// The operation of that name; letter case counts, as in SOAP.
    pub fn from_name(name: &str) -> Option<Operation> {
        Operation::ALL.into_iter().find(|o| o.name() == name)
    }

    /// The value of the `SOAPAction` header, without the quotes around it.
    pub fn action(self) -> String {
        format!("{ACTION_PREFIX}{}", self.name())
    }

    /// Reads a `SOAPAction` header: quoted as the real client sends it, or bare as in the vendor's example (seen, doc).
    pub fn from_action(header: &str) -> Option<Operation> {
        let bare = header.trim();
        let bare = bare
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'))
            .unwrap_or(bare);
        Operation::from_name(bare.strip_prefix(ACTION_PREFIX)?)
    }

    /// The request's root element, in [`MESSAGES`].
    pub fn request_element(self) -> &'static str {
        match self {
            Operation::Authenticate => "AuthenticateRequest",
            Operation::TableSchema => "TableSchemaRequest",
            Operation::RowData => "RowDataRequest",
            Operation::Wipe => "WipeRequest",
            Operation::ReplicationCompleted => "ReplicationCompletedRequest",
        }
    }

    /// The response's root element, in [`MESSAGES`].
    pub fn response_element(self) -> &'static str {
        match self {
            Operation::Authenticate => "AuthenticateResponse",
            Operation::TableSchema => "TableSchemaResponse",
            Operation::RowData => "RowDataResponse",
            Operation::Wipe => "WipeResponse",
            Operation::ReplicationCompleted => "ReplicationCompletedResponse",
        }
    }
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether two table or column names are the same name to SQL Server: letter case does not count.
pub fn same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b) || (!(a.is_ascii() && b.is_ascii()) && fold(a) == fold(b))
}

/// The form of a name under which maps keep it, so that letter case does not count.
pub fn fold(name: &str) -> String {
    name.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_is_read_quoted_and_bare() {
        for operation in Operation::ALL {
            let action = operation.action();
            assert_eq!(action, format!("{ACTION_PREFIX}{operation}"));
            for header in [action.clone(), format!("\"{action}\""), format!(" \"{action}\" ")] {
                assert_eq!(Operation::from_action(&header), Some(operation), "{header}");
            }
            assert_eq!(
                Operation::from_action(&action.to_lowercase()),
                None,
                "letter case counts"
            );
        }
        for other in ["", "\"\"", "RowData", "\"urn:x/RowData\"", ACTION_PREFIX] {
            assert_eq!(Operation::from_action(other), None, "{other:?}");
        }
        assert_eq!(Operation::RowData.to_string(), "RowData");
    }

    #[test]
    fn letter_case_of_a_name_does_not_count() {
        let names = [
            "contact", "Contact", "person", "Bestøl", "BESTØL", "Bestæl", "k", "\u{212a}",
        ];
        for a in names {
            for b in names {
                assert_eq!(same_name(a, b), fold(a) == fold(b), "{a} {b}");
            }
        }
        assert!(same_name("contact", "CONTACT") && same_name("bestøl", "BestØl"));
        assert!(!same_name("contact", "contacts") && !same_name("bestøl", "bestæl"));
    }
}
