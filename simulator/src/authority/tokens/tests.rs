use super::*;
use crate::testing::authority;
use mirrorlab_protocol::token::{Expected, TokenError, Unverified};

const NOW: i64 = 1_800_000_000;

fn tokens() -> Tokens {
    Tokens::new(authority(), "app-1", "Cust10001", 7)
}

fn check(text: &str) -> Result<Claims, TokenError> {
    let expected = Expected {
        application: "app-1",
        now: NOW,
        leeway: 300,
    };
    Unverified::parse(text)?.verify(authority().certificate().key(), &expected)
}

#[test]
fn a_fresh_token_is_right_and_never_the_same_twice() {
    let mut tokens = tokens();
    let (a, b) = (tokens.mint(NOW), tokens.mint(NOW));
    let claims = check(a.text.as_deref().unwrap()).unwrap();
    assert_eq!(claims.context, "Cust10001");
    assert_eq!(claims.nonce, a.nonce);
    assert_eq!((claims.not_before, claims.expires), (NOW, NOW + 360));
    assert_eq!(a.nonce.len(), 32);
    assert!(
        a.nonce
            .bytes()
            .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
    );
    assert_ne!(a.nonce, b.nonce);
    let header = Unverified::parse(a.text.as_deref().unwrap()).unwrap();
    assert_eq!(header.kid.unwrap(), authority().certificate().thumbprint_hex());
    assert_eq!(
        header.x5t.unwrap(),
        authority().certificate().thumbprint_base64url()
    );
}

#[test]
fn nonces_hang_on_seed_and_tenant_alone() {
    let nonce = |context: &str, seed| Tokens::new(authority(), "x", context, seed).mint(NOW).nonce;
    assert_eq!(nonce("Cust1", 1), nonce("Cust1", 1));
    assert_ne!(nonce("Cust1", 1), nonce("Cust2", 1));
    assert_ne!(nonce("Cust1", 1), nonce("Cust1", 2));
}

#[test]
fn every_defect_is_what_it_says() {
    let mut lines = String::new();
    for defect in TokenDefect::all() {
        let mut tokens = tokens();
        let first = tokens.mint(NOW);
        tokens.spoil(defect.clone(), Some(1));
        let minted = tokens.mint(NOW);
        let verdict = match &minted.text {
            None => "no header".to_owned(),
            Some(text) => match check(text) {
                Ok(claims) => format!("accepted for {}", claims.context),
                Err(error) => error.to_string(),
            },
        };
        assert_eq!(verdict.starts_with("accepted"), defect.is_harmless(), "{defect}");
        assert_eq!(minted == first, defect == TokenDefect::Repeated, "{defect}");
        assert_eq!(defect.to_string().parse(), Ok(defect.clone()));
        lines.push_str(&format!("{defect}: {verdict}\n"));
        let after = tokens.mint(NOW);
        assert!(
            check(after.text.as_deref().unwrap()).is_ok(),
            "only one token is spoiled"
        );
    }
    insta::assert_snapshot!(lines);
}

#[test]
fn a_defect_stays_until_it_is_mended() {
    let mut tokens = tokens();
    tokens.spoil(TokenDefect::Empty, None);
    for _ in 0..3 {
        assert_eq!(tokens.mint(NOW).text.as_deref(), Some(""));
    }
    tokens.mend();
    assert!(check(tokens.mint(NOW).text.as_deref().unwrap()).is_ok());
    tokens.spoil(TokenDefect::Empty, Some(0));
    assert_eq!(tokens.defect(), None);
}

#[test]
fn an_unknown_defect_names_those_there_are() {
    let error = "wrong-kee".parse::<TokenDefect>().unwrap_err().to_string();
    assert!(
        error.contains("`wrong-kee`") && error.contains("wrong-key, unknown-kid"),
        "{error}"
    );
}

/// RFC 4231, case 2; and case 6 with a key longer than a block.
#[test]
fn hmac_is_rfc_4231s() {
    let hex = |bytes: [u8; 32]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    assert_eq!(
        hex(hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
    );
    assert_eq!(
        hex(hmac_sha256(
            &[0xaa; 131],
            b"Test Using Larger Than Block-Size Key - Hash Key First"
        )),
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"
    );
}
