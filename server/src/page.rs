//! The page that a person sees who opens the endpoint in a browser.

use mirrorlab_protocol::names::Operation;

use crate::wsdl::attribute;

/// The page, with `address` as the service's place. It tells what this is and where the contract is, and nothing of
/// whom it serves.
pub fn document(address: &str) -> String {
    let address = attribute(address);
    let operations = Operation::ALL.map(Operation::name).join(", ");
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head><meta charset=\"utf-8\"><title>MirroringClientService</title></head>\n\
         <body>\n<h1>MirroringClientService</h1>\n\
         <p>This is a database mirroring endpoint. SuperOffice's mirroring task calls it by SOAP 1.1, with a signed token in \
         every call; there is nothing here for a browser.</p>\n\
         <p>Operations: {operations}.</p>\n\
         <p>Contract: <a href=\"{address}?wsdl\">{address}?wsdl</a>, in one file: \
         <a href=\"{address}?singleWsdl\">{address}?singleWsdl</a>.</p>\n\
         </body>\n</html>\n"
    )
}
