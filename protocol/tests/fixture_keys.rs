//! The fixed test keys of `fixtures/keys`: that they load and fit each other, and the command that makes them anew.

#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking, too

use std::path::PathBuf;

use mirrorlab_protocol::certificate::Certificate;
use mirrorlab_protocol::keys::{PrivateKey, PublicKey};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/keys")
}

fn read(file: &str) -> String {
    std::fs::read_to_string(folder().join(file)).expect("the fixture is part of the repository")
}

#[test]
fn the_keys_load_and_fit() {
    let certificate = Certificate::from_bytes(read("superoffice.crt.pem").as_bytes()).unwrap();
    let key = PrivateKey::from_text(&read("superoffice.key.pem")).unwrap();
    assert_eq!(*certificate.key(), key.public());
    assert_eq!(certificate.key().bits(), 2048);
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate.der()).unwrap();
    assert_eq!(
        parsed.subject(),
        parsed.issuer(),
        "self-issued, as SuperOffice's are"
    );

    let application = PrivateKey::from_text(&read("application.key.xml")).unwrap();
    assert_eq!(application.public().bits(), 1024);
    assert_eq!(
        PublicKey::from_text(&read("application.key.xml")).unwrap(),
        application.public()
    );
}

#[test]
fn the_folder_says_what_the_keys_are() {
    let readme = read("README.md");
    for entry in std::fs::read_dir(folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            name == "README.md" || readme.contains(&format!("`{name}`")),
            "{name}"
        );
    }
}

#[test]
#[ignore = "writes fixtures/keys anew; run it by name"]
fn remake_fixture_keys() {
    let write = |file: &str, text: &str| std::fs::write(folder().join(file), text).unwrap();
    let key = PrivateKey::generate(2048).unwrap().to_pem().unwrap();
    let pair = rcgen::KeyPair::from_pkcs8_pem_and_sign_algo(&key, &rcgen::PKCS_RSA_SHA256).unwrap();
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2120, 1, 1);
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    parameters.distinguished_name.push(
        rcgen::DnType::CommonName,
        "Mirrorlab test authority, never to be trusted",
    );
    write(
        "superoffice.crt.pem",
        &parameters.self_signed(&pair).unwrap().pem(),
    );
    write("superoffice.key.pem", &key);
    write(
        "application.key.xml",
        &PrivateKey::generate(1024).unwrap().to_xml(),
    );
    write(
        "stranger.key.pem",
        &PrivateKey::generate(2048).unwrap().to_pem().unwrap(),
    );
    // Base64 `AA…` is a zero byte and a small one: about one key in a thousand.
    let short = loop {
        let xml = PrivateKey::generate(1024).unwrap().to_xml();
        if xml.contains("<D>AA") {
            break xml;
        }
    };
    write("short-d.key.xml", &short);
}
