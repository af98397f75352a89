//! Keys, certificates, tokens and answers: what is taken, what is refused, and that nothing secret is ever said.

#![allow(clippy::unwrap_used)] // helpers of tests fail by panicking, too

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mirrorlab_protocol::answer::{self, AnswerError};
use mirrorlab_protocol::certificate::Certificate;
use mirrorlab_protocol::keys::{KeyError, PrivateKey, PublicKey};
use mirrorlab_protocol::token::{self, Claims, Expected, TokenError, Unverified};
use proptest::prelude::*;
use serde_json::{Value as Json, json};

const CERTIFICATE: &str = include_str!("../../fixtures/keys/superoffice.crt.pem");
const KEY: &str = include_str!("../../fixtures/keys/superoffice.key.pem");
const APPLICATION: &str = include_str!("../../fixtures/keys/application.key.xml");
/// An application key whose D begins with a zero byte.
const SHORT: &str = include_str!("../../fixtures/keys/short-d.key.xml");

const NOW: i64 = 1_589_798_443;

fn superoffice() -> PrivateKey {
    PrivateKey::from_text(KEY).unwrap()
}

fn application() -> PrivateKey {
    PrivateKey::from_text(APPLICATION).unwrap()
}

/// The text of one part of RSA XML.
fn part<'x>(xml: &'x str, name: &str) -> &'x str {
    let start = xml.find(&format!("<{name}>")).unwrap() + name.len() + 2;
    &xml[start..start + xml[start..].find("</").unwrap()]
}

fn without(xml: &str, names: &[&str]) -> String {
    let mut xml = xml.to_owned();
    for name in names {
        xml = xml.replace(&format!("<{name}>{}</{name}>", part(&xml, name)), "");
    }
    xml
}

// Keys

#[test]
fn every_form_of_a_key_is_the_same_key() {
    for key in [superoffice(), application()] {
        let xml = key.to_xml();
        let pem = key.to_pem().unwrap();
        assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----"));
        let signature = key.sign(b"message");
        for text in [
            xml.clone(),
            without(&xml, &["P", "Q", "DP", "DQ", "InverseQ"]),
            without(&xml, &["P"]),
            format!("\u{feff}\r\n{xml}\r\n"),
            format!(
                "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n{}",
                xml.replace("><", ">\n  <")
            ),
            xml.replace("<RSAKeyValue>", "<k:RSAKeyValue xmlns:k='urn:x'>")
                .replace("</RSAKeyValue>", "</k:RSAKeyValue>"),
            pem.clone(),
            pem.replace('\n', "\r\n"),
            format!("Bag Attributes\n    localKeyID: 01\n{pem}\nsomething behind\n"),
        ] {
            let read = PrivateKey::from_text(&text).unwrap();
            assert_eq!(read.public(), key.public(), "{text}");
            assert_eq!(read.sign(b"message"), signature, "the same key signs the same");
        }
        let public = key.public();
        for text in [xml, pem, public.to_xml(), public.to_pem().unwrap()] {
            assert_eq!(PublicKey::from_text(&text).unwrap(), public);
        }
        assert!(public.verifies(b"message", &signature));
        assert!(!public.verifies(b"messagf", &signature));
        assert!(!public.verifies(b"message", &signature[1..]));
        assert!(!public.verifies(b"message", b""));
    }
    assert_eq!(superoffice().public().bits(), 2048);
    assert_eq!(application().public().bits(), 1024);
    assert_eq!(application().sign(b"x").len(), 128, "as in the vendor's capture");
}

#[test]
fn pkcs1_is_read_too() {
    // The inside of a PKCS#8 key is the PKCS#1 key, behind 26 bytes (RSA 2048).
    let der = STANDARD
        .decode(KEY.lines().filter(|l| !l.starts_with('-')).collect::<String>())
        .unwrap();
    let pkcs1 = |kind: &str, der: &[u8]| {
        let text = STANDARD.encode(der);
        let lines: Vec<&str> = (0..text.len())
            .step_by(64)
            .map(|at| &text[at..(at + 64).min(text.len())])
            .collect();
        format!(
            "-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n",
            lines.join("\n")
        )
    };
    let private = pkcs1("RSA PRIVATE KEY", &der[26..]);
    assert_eq!(
        PrivateKey::from_text(&private).unwrap().public(),
        superoffice().public()
    );
    assert_eq!(PublicKey::from_text(&private).unwrap(), superoffice().public());
    let spki = superoffice().public().to_pem().unwrap();
    let spki = STANDARD
        .decode(spki.lines().filter(|l| !l.starts_with('-')).collect::<String>())
        .unwrap();
    let public = pkcs1("RSA PUBLIC KEY", &spki[24..]);
    assert_eq!(PublicKey::from_text(&public).unwrap(), superoffice().public());
    assert_eq!(PublicKey::from_der(&spki).unwrap(), superoffice().public());
    assert_eq!(PrivateKey::from_text(&public).unwrap_err(), KeyError::PublicOnly);
}

#[test]
fn rsa_xml_is_as_long_as_dotnet_wants_it() {
    for key in [superoffice(), application()] {
        let xml = key.to_xml();
        let whole = key.public().bits() / 8;
        for (name, length) in [("Modulus", whole), ("D", whole)]
            .into_iter()
            .chain(["P", "Q", "DP", "DQ", "InverseQ"].map(|name| (name, whole / 2)))
        {
            assert_eq!(STANDARD.decode(part(&xml, name)).unwrap().len(), length, "{name}");
        }
    }
    // One key in 256 has a D that begins with a zero byte.
    let short = PrivateKey::from_text(SHORT).unwrap().to_xml();
    let d = STANDARD.decode(part(&short, "D")).unwrap();
    assert_eq!((d.len(), d[0]), (128, 0));
    let unpadded = short.replace(part(&short, "D"), &STANDARD.encode(&d[1..]));
    assert_eq!(PrivateKey::from_text(&unpadded).unwrap().to_xml(), short);
}

#[test]
fn broken_keys_are_refused_and_never_repeated() {
    let xml = application().to_xml();
    let pem = application().to_pem().unwrap();
    let d = part(&xml, "D").to_owned();
    let p = part(&xml, "P").to_owned();
    let other = superoffice().to_xml();
    let with = |name: &str, value: &str| {
        let old = format!("<{name}>{}</{name}>", part(&xml, name));
        xml.replace(&old, &format!("<{name}>{value}</{name}>"))
    };
    let flipped = {
        let at = pem.len() / 2;
        let other = if pem.as_bytes()[at] == b'A' { 'B' } else { 'A' };
        format!("{}{other}{}", &pem[..at], &pem[at + 1..])
    };
    let cases = [
        ("nothing", String::new()),
        ("prose", "this is my key".into()),
        ("another document", "<Key/>".into()),
        ("no modulus", without(&xml, &["Modulus"])),
        ("no exponent", without(&xml, &["Exponent"])),
        ("only public", application().public().to_xml()),
        ("only public PEM", application().public().to_pem().unwrap()),
        ("D not base64", with("D", &format!("{}!", &d[1..]))),
        ("D empty", with("D", "")),
        ("D another", with("D", part(&other, "D"))),
        ("P another", with("P", &p.replace(&p[..4], "AAAA"))),
        ("modulus another", with("Modulus", part(&other, "Modulus"))),
        ("exponent even", with("Exponent", "AQAA")),
        ("exponent one", with("Exponent", "AQ==")),
        ("too small", with("Modulus", "/////////////w==")),
        ("zero", with("Modulus", "AAAA")),
        ("too large", with("Modulus", &STANDARD.encode([0xff; 1025]))),
        ("cut", xml[..xml.len() - 40].into()),
        (
            "an ampersand in D",
            with("D", &format!("{}&{}", &d[..9], &d[9..])),
        ),
        (
            "a reference in D",
            with("D", &format!("{}&{};", &d[..9], &d[9..40])),
        ),
        (
            "an element in D",
            with("D", &format!("<{}>", &d[..9].replace(['+', '/', '='], "x"))),
        ),
        ("D as a tag", xml.replace("<D>", "<D><").replace("</D>", "/></D>")),
        (
            "a DTD",
            format!("<!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>{xml}"),
        ),
        ("a certificate", CERTIFICATE.into()),
        ("encrypted", pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")),
        (
            "an EC key",
            "-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----".into(),
        ),
        ("PEM cut", pem[..pem.len() / 2].into()),
        ("PEM flipped", flipped),
        ("PEM without lines", pem.replace('\n', "")),
        (
            "PEM empty",
            "-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----".into(),
        ),
    ];
    let secrets: Vec<String> = ["D", "P", "Q", "DP", "DQ", "InverseQ"]
        .iter()
        .map(|name| part(&xml, name).to_owned())
        .collect();
    let said: Vec<String> = cases
        .iter()
        .map(|(what, text)| {
            let error = PrivateKey::from_text(text).expect_err(what);
            for said in [error.to_string(), format!("{error:?}")] {
                for secret in &secrets {
                    for at in 0..secret.len() - 9 {
                        assert!(
                            !said.contains(&secret[at..at + 9]),
                            "{what} says a part of the key: {said}"
                        );
                    }
                }
            }
            format!("{what}: {error}")
        })
        .collect();
    insta::assert_snapshot!(said.join("\n"));
    assert_eq!(format!("{:?}", application()), "PrivateKey(1024 bits)");
}

#[test]
fn public_keys_have_limits_too() {
    let xml = |modulus: &[u8], exponent: &str| {
        let modulus = STANDARD.encode(modulus);
        format!("<RSAKeyValue><Modulus>{modulus}</Modulus><Exponent>{exponent}</Exponent></RSAKeyValue>")
    };
    assert_eq!(
        PublicKey::from_text(&xml(&[0xff; 127], "AQAB")).unwrap_err(),
        KeyError::Size(1016)
    );
    assert_eq!(
        PublicKey::from_text(&xml(&[0xff; 513], "AQAB")).unwrap_err(),
        KeyError::Size(4104)
    );
    assert!(PublicKey::from_text(&xml(&[0xff; 512], "AQAB")).is_ok());
    assert!(
        PublicKey::from_text(&xml(&[0xff; 128], "Ag==")).is_err(),
        "an even exponent"
    );
    assert!(
        PublicKey::from_text(&xml(&[0xff; 128], "AQ==")).is_err(),
        "one as exponent"
    );
    assert!(PublicKey::from_text(&xml(&[0xff; 128], "AQAAAAE=")).is_ok());
    assert!(
        PublicKey::from_text(&xml(&[0xff; 128], "AgAAAAE=")).is_err(),
        "above 33 bits"
    );
    for bits in [0, 512, 1023, 4097, 100_000] {
        assert_eq!(PrivateKey::generate(bits).unwrap_err(), KeyError::Size(bits));
    }
}

// Certificates

#[test]
fn certificates_in_pem_and_der() {
    let certificate = Certificate::from_bytes(CERTIFICATE.as_bytes()).unwrap();
    let again = Certificate::from_bytes(certificate.der()).unwrap();
    assert_eq!(again, certificate);
    let crlf = format!("subject=x\r\n{}", CERTIFICATE.replace('\n', "\r\n"));
    assert_eq!(Certificate::from_bytes(crlf.as_bytes()).unwrap(), certificate);
    let both = format!("{KEY}{CERTIFICATE}");
    assert_eq!(Certificate::from_bytes(both.as_bytes()).unwrap(), certificate);
    let hex = certificate.thumbprint_hex();
    assert_eq!(hex.len(), 40);
    assert!(
        hex.bytes()
            .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
    );
    let x5t = URL_SAFE_NO_PAD
        .decode(certificate.thumbprint_base64url())
        .unwrap();
    assert_eq!(x5t.iter().map(|b| format!("{b:02X}")).collect::<String>(), hex);
}

#[test]
fn garbage_is_no_certificate() {
    let der = Certificate::from_bytes(CERTIFICATE.as_bytes())
        .unwrap()
        .der()
        .to_vec();
    let mut longer = der.clone();
    longer.push(0);
    let said: Vec<String> = [
        Vec::new(),
        b"hello".to_vec(),
        KEY.as_bytes().to_vec(),
        CERTIFICATE.replace("-----END", "").into_bytes(),
        CERTIFICATE.replace("MII", "M!I").into_bytes(),
        der[..der.len() / 2].to_vec(),
        longer,
    ]
    .iter()
    .map(|bytes| Certificate::from_bytes(bytes).unwrap_err().to_string())
    .collect();
    insta::assert_snapshot!(said.join("\n"));
}

// Tokens

fn expected() -> Expected<'static> {
    Expected {
        application: "0123456789abcdef0123456789abcdef",
        now: NOW,
        leeway: 30,
    }
}

fn header() -> Json {
    let certificate = Certificate::from_bytes(CERTIFICATE.as_bytes()).unwrap();
    token::header_json(&certificate.thumbprint_hex(), &certificate.thumbprint_base64url())
}

fn claims() -> Json {
    let nonce = "9F86D081884C7D659A2FEAA0C55AD015".to_owned();
    Claims::fresh("Cust24709", expected().application, nonce, NOW).to_json()
}

fn changed(mut json: Json, name: &str, value: Json) -> Json {
    let map = json.as_object_mut().unwrap();
    if value.is_null() {
        map.remove(name);
    } else {
        map.insert(name.into(), value);
    }
    json
}

/// What a receiver says of a token signed by SuperOffice's key.
fn judged(header: &Json, claims: &Json) -> Result<Claims, TokenError> {
    judge(&token::sign(header, claims, &superoffice()))
}

fn judge(compact: &str) -> Result<Claims, TokenError> {
    let certificate = Certificate::from_bytes(CERTIFICATE.as_bytes()).unwrap();
    Unverified::parse(compact)?.verify(certificate.key(), &expected())
}

#[test]
fn a_good_token_is_believed() {
    let good = judged(&header(), &claims()).unwrap();
    assert_eq!(good.context, "Cust24709");
    assert_eq!(good.to_json(), claims());
    let compact = token::sign(&header(), &claims(), &superoffice());
    for around in [
        format!("  \r\n\t{compact}\r\n  "),
        format!("\u{a0}{compact}\u{feff}").replace('\u{feff}', ""),
    ] {
        assert_eq!(
            judge(&around).unwrap(),
            good,
            "white space around it does not count"
        );
    }
    // Each half of the key's name is enough, and the letter case of the hex is the reader's business.
    let hex = header()["kid"].as_str().unwrap().to_lowercase();
    for header in [
        changed(header(), "kid", Json::Null),
        changed(header(), "x5t", Json::Null),
        changed(header(), "kid", json!(hex)),
        changed(header(), "typ", Json::Null),
        changed(header(), "extra", json!({"a": [1]})),
    ] {
        let compact = token::sign(&header, &claims(), &superoffice());
        let unverified = Unverified::parse(&compact).unwrap();
        assert_eq!(unverified.kid.as_deref(), header["kid"].as_str());
        assert_eq!(unverified.x5t.as_deref(), header["x5t"].as_str());
        assert_eq!(judge(&compact).unwrap(), good);
    }
    for claims in [
        changed(claims(), "sub", Json::Null),
        changed(claims(), token::CONTEXT_CLAIM, Json::Null),
        changed(claims(), "sub", json!("cust24709")),
        changed(claims(), "nbf", json!(NOW as f64)),
        changed(claims(), "more", json!([null])),
        changed(
            claims(),
            "aud",
            json!(format!("spn:{}", expected().application.to_uppercase())),
        ),
    ] {
        assert!(
            judged(&header(), &claims)
                .unwrap()
                .context
                .eq_ignore_ascii_case("cust24709")
        );
    }
}

#[test]
fn a_token_may_be_as_long_as_the_limit() {
    let of_length = |length: usize| {
        // Three bytes of JSON are four characters; what is left over goes into the header.
        (0..4).find_map(|more| {
            let header = changed(header(), "x", json!("x".repeat(more)));
            (0..4).find_map(|less| {
                let short = token::sign(&header, &changed(claims(), "x", json!("")), &superoffice());
                let fill = (length - short.len()) * 3 / 4 - less;
                let claims = changed(claims(), "x", json!("x".repeat(fill)));
                Some(token::sign(&header, &claims, &superoffice())).filter(|t| t.len() == length)
            })
        })
    };
    let longest = of_length(16 * 1024).expect("header and claims together reach every length");
    assert!(judge(&longest).is_ok());
    let longer = of_length(16 * 1024 + 1).expect("header and claims together reach every length");
    assert_eq!(judge(&longer), Err(TokenError::Malformed("it is too long")));
}

#[test]
fn a_fresh_token_is_valid_for_six_minutes() {
    let claims = Claims::fresh("Cust1", "app", "nonce".to_owned(), NOW);
    assert_eq!((claims.not_before, claims.expires), (NOW, NOW + 360));
}

#[test]
fn a_token_is_valid_within_its_time_and_the_leeway() {
    let from = |nbf: i64| changed(changed(claims(), "nbf", json!(nbf)), "exp", json!(nbf + 360));
    assert!(judged(&header(), &from(NOW + 30)).is_ok());
    assert_eq!(judged(&header(), &from(NOW + 31)), Err(TokenError::NotYet(31)));
    assert!(judged(&header(), &from(NOW - 389)).is_ok());
    assert_eq!(judged(&header(), &from(NOW - 390)), Err(TokenError::Expired(30)));
    let never = changed(changed(claims(), "nbf", json!(i64::MIN)), "exp", json!(i64::MAX));
    assert!(judged(&header(), &never).is_ok(), "no overflow at the ends");
    let odd = changed(changed(claims(), "nbf", json!(i64::MAX)), "exp", json!(i64::MIN));
    assert!(judged(&header(), &odd).is_err());
}

#[test]
fn each_wrong_header_and_claim_is_refused() {
    let compact = token::sign(&header(), &claims(), &superoffice());
    let parts: Vec<&str> = compact.split('.').collect();
    let encode = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let with_header = |header: Json| token::sign(&header, &claims(), &superoffice());
    let with_claims = |claims: Json| token::sign(&header(), &claims, &superoffice());
    let claim = |name: &str, value: Json| with_claims(changed(claims(), name, value));
    // HS256 keyed with the public key is the oldest trick: whatever the signature, the algorithm is refused.
    let hs256 = changed(header(), "alg", json!("HS256"));
    let none = changed(header(), "alg", json!("none"));
    let other_claims = encode(&changed(claims(), "sub", json!("Cust1")).to_string());
    let cases = [
        ("nothing", String::new()),
        ("prose", "not a token".into()),
        ("two parts", format!("{}.{}", parts[0], parts[1])),
        ("four parts", format!("{compact}.x")),
        ("empty parts", "..".into()),
        ("too long", format!("{}{compact}", "A".repeat(token::LENGTH_MAX))),
        (
            "header not base64",
            format!("!{}.{}.{}", parts[0], parts[1], parts[2]),
        ),
        (
            "header not JSON",
            format!("{}.{}.{}", encode("{"), parts[1], parts[2]),
        ),
        (
            "header a list",
            format!("{}.{}.{}", encode("[]"), parts[1], parts[2]),
        ),
        (
            "header nested",
            format!("{}.{}.{}", encode(&"[".repeat(9000)), parts[1], parts[2]),
        ),
        (
            "claims not JSON",
            format!("{}.{}.{}", parts[0], encode("x"), parts[2]),
        ),
        (
            "claims not UTF-8",
            format!(
                "{}.{}.{}",
                parts[0],
                URL_SAFE_NO_PAD.encode(b"{\"a\":\"\xff\"}"),
                parts[2]
            ),
        ),
        ("signature not base64", format!("{}.{}.%", parts[0], parts[1])),
        ("padding", format!("{compact}=")),
        ("alg none", format!("{}.{}.", encode(&none.to_string()), parts[1])),
        ("alg NONE", with_header(changed(header(), "alg", json!("NONE")))),
        (
            "alg HS256",
            format!("{}.{}.{}", encode(&hs256.to_string()), parts[1], parts[2]),
        ),
        ("alg RS512", with_header(changed(header(), "alg", json!("RS512")))),
        ("alg rs256", with_header(changed(header(), "alg", json!("rs256")))),
        ("alg missing", with_header(changed(header(), "alg", Json::Null))),
        (
            "alg a list",
            with_header(changed(header(), "alg", json!(["RS256"]))),
        ),
        ("crit", with_header(changed(header(), "crit", json!(["exp"])))),
        ("no key named", with_header(json!({"alg": "RS256"}))),
        (
            "key names empty",
            with_header(json!({"alg": "RS256", "kid": "", "x5t": 5})),
        ),
        ("no signature", format!("{}.{}.", parts[0], parts[1])),
        (
            "another's signature",
            token::sign(&header(), &claims(), &application()),
        ),
        (
            "claims exchanged",
            format!("{}.{other_claims}.{}", parts[0], parts[2]),
        ),
        ("no iss", claim("iss", Json::Null)),
        ("iss", claim("iss", json!("SuperOffice"))),
        ("iss a number", claim("iss", json!(1))),
        ("no aud", claim("aud", Json::Null)),
        ("aud", claim("aud", json!("spn:another"))),
        ("aud without prefix", claim("aud", json!(expected().application))),
        (
            "aud a list",
            claim("aud", json!([format!("spn:{}", expected().application)])),
        ),
        ("no nbf", claim("nbf", Json::Null)),
        ("nbf text", claim("nbf", json!("1589798443"))),
        ("nbf", claim("nbf", json!(NOW + 1000))),
        ("no exp", claim("exp", Json::Null)),
        ("exp", claim("exp", json!(NOW - 1000))),
        ("no nonce", claim("nonce", Json::Null)),
        ("nonce empty", claim("nonce", json!(""))),
        ("two tenants", claim("sub", json!("Cust1"))),
        (
            "no tenant",
            with_claims(changed(
                changed(claims(), "sub", Json::Null),
                token::CONTEXT_CLAIM,
                Json::Null,
            )),
        ),
    ];
    let said: Vec<String> = cases
        .iter()
        .map(|(what, compact)| format!("{what}: {}", judge(compact).expect_err(what)))
        .collect();
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn a_tenant_that_could_be_a_path_or_sql_is_refused() {
    for context in [
        "..",
        "../Cust1",
        "Cust1/..",
        "Cust1\\x",
        "C:",
        "Cust 1",
        " Cust1",
        "Cust1\n",
        "Cust1\0",
        "Cust1'--",
        "Cust1;",
        "Cust1]",
        "\"",
        "Cust1.db",
        "%2e%2e",
        "Cüst1",
        "Ｃust1",
        &"x".repeat(65),
    ] {
        let both = changed(
            changed(claims(), "sub", json!(context)),
            token::CONTEXT_CLAIM,
            json!(context),
        );
        let error = judged(&header(), &both).unwrap_err();
        assert!(matches!(error, TokenError::Context(_)), "{context:?}: {error}");
    }
    for context in ["Cust24709", "x", "A-b_9", &"x".repeat(64)] {
        assert_eq!(token::check_context(context), Ok(()));
    }
}

proptest! {
    #[test]
    fn no_token_makes_the_reader_panic(text in "[A-Za-z0-9._=-]{0,200}") {
        let _ = judge(&text);
    }

    #[test]
    fn no_changed_byte_is_believed(at in any::<prop::sample::Index>(), byte in "[A-Za-z0-9_.-]") {
        let compact = token::sign(&header(), &claims(), &superoffice());
        let at = at.index(compact.len());
        prop_assume!(compact[at..=at] != byte);
        let changed = format!("{}{byte}{}", &compact[..at], &compact[at + 1..]);
        prop_assert!(judge(&changed).is_err());
    }

    #[test]
    fn no_text_makes_a_key_or_certificate_panic(text in "\\PC{0,80}", part in any::<prop::sample::Index>(), xml: bool) {
        let base = if xml { APPLICATION } else { KEY };
        let at = part.index(base.len());
        let broken = format!("{}{text}{}", &base[..at], &base[at..]);
        let _ = PrivateKey::from_text(&broken);
        let _ = PublicKey::from_text(&text);
        let _ = Certificate::from_bytes(broken.as_bytes());
    }
}

// Answers

const NONCE: &str = "9F86D081884C7D659A2FEAA0C55AD015";

#[test]
fn an_answer_is_the_nonce_the_minute_and_a_signature() {
    let key = application();
    let signed = answer::sign(NONCE, NOW, &key);
    let parts: Vec<&str> = signed.split('.').collect();
    assert_eq!(parts[..2], [NONCE, "202005181040"]);
    assert_eq!(STANDARD.decode(parts[2]).unwrap().len(), 128);
    assert_eq!(parts[2].len(), 172, "standard base64 with padding");
    assert_eq!(answer::sign(NONCE, NOW, &key), signed, "no randomness in it");
    assert_eq!(answer::check(Some(&signed), NONCE, NOW, &key.public()), Ok(()));
    // The last minute of a day, and the first of the next.
    let midnight = NOW - NOW % 86_400;
    for (now, written) in [(midnight - 1, "202005172359"), (midnight, "202005180000")] {
        let signed = answer::sign(NONCE, now, &key);
        assert!(signed.starts_with(&format!("{NONCE}.{written}.")), "{signed}");
        assert_eq!(answer::check(Some(&signed), NONCE, now, &key.public()), Ok(()));
    }
}

#[test]
fn the_drift_is_under_fifteen_minutes() {
    let key = application();
    let minute = NOW - NOW % 60;
    let signed = answer::sign(NONCE, NOW, &key);
    for (drift, ok) in [
        (0, true),
        (59, true),
        (899, true),
        (900, false),
        (-899, true),
        (-900, false),
        (86_400, false),
    ] {
        let result = answer::check(Some(&signed), NONCE, minute + drift, &key.public());
        let expected = if ok {
            Ok(())
        } else {
            Err(AnswerError::Drift { seconds: -drift })
        };
        assert_eq!(result, expected, "{drift}");
    }
}

#[test]
fn wrong_answers_are_told_apart() {
    let key = application();
    let signed = answer::sign(NONCE, NOW, &key);
    let signature = signed.rsplit('.').next().unwrap();
    let cases = [
        ("empty", String::new()),
        ("prose", "yes".into()),
        ("two parts", format!("{NONCE}.{signature}")),
        ("another nonce", answer::sign("ABC", NOW, &key)),
        ("lower case nonce", answer::sign(&NONCE.to_lowercase(), NOW, &key)),
        ("another key", answer::sign(NONCE, NOW, &superoffice())),
        (
            "another minute's signature",
            format!("{NONCE}.202005181041.{signature}"),
        ),
        ("no such day", format!("{NONCE}.202002301040.{signature}")),
        ("no such hour", format!("{NONCE}.202005182440.{signature}")),
        ("no such minute", format!("{NONCE}.202005181060.{signature}")),
        ("no digits", format!("{NONCE}.2020051810+4.{signature}")),
        (
            "a letter of two bytes",
            format!("{NONCE}.202005181é4.{signature}"),
        ),
        ("seconds", format!("{NONCE}.20200518104043.{signature}")),
        ("signature not base64", format!("{NONCE}.202005181040.!")),
        (
            "signature base64url",
            format!("{NONCE}.202005181040.{}", signature.replace('=', "")),
        ),
        ("no signature", format!("{NONCE}.202005181040.")),
    ];
    let mut said = vec![format!(
        "missing: {}",
        answer::check(None, NONCE, NOW, &key.public()).unwrap_err()
    )];
    said.extend(cases.iter().map(|(what, text)| {
        let error = answer::check(Some(text), NONCE, NOW, &key.public()).expect_err(what);
        // Shortened or whole, the signature differs from key to key.
        let said = error.to_string();
        let seen = (9..=signature.len())
            .rev()
            .find(|n| said.contains(&signature[..*n]));
        let said = seen.map_or(said.clone(), |n| said.replace(&signature[..n], "<signature>"));
        format!("{what}: {said}")
    }));
    insta::assert_snapshot!(said.join("\n"));
}
