//! Trust: each part of a token wrong in turn. Whoever takes one of them lets a stranger write into a mirror.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mirrorlab_protocol::names::Operation;
use mirrorlab_protocol::token::{self, CONTEXT_CLAIM, Claims};
use mirrorlab_simulator::authority::{TokenDefect, hmac_sha256};
use serde_json::{Value as Json, json};

use super::super::bench::Bench;
use super::super::check::{Check, must, should};
use super::super::say::{self, Batch};
use super::PLAIN;

const A: Operation = Operation::Authenticate;

/// A token that is wrong in one way of the authority's own list.
fn defect(id: &str, rule: &'static str, what: &'static str, defect: TokenDefect) -> Check {
    must(
        format!("trust.{id}"),
        rule,
        format!("{what} is refused"),
        move |b| {
            let minted = b.mint();
            let now = b.clock();
            let text = b.tokens().defective(&defect, &minted.nonce, now);
            let said = b.call_as(A, text.as_deref(), &say::authenticate(None))?;
            b.no(&said, what)
        },
    )
    .and(&["TRUST-04", "WIRE-10"])
}

/// Header and claims as they should be.
fn right(b: &mut Bench<'_>) -> (Json, Json) {
    let certificate = b.shared().authority.certificate();
    let header = token::header_json(&certificate.thumbprint_hex(), &certificate.thumbprint_base64url());
    let nonce = b.mint().nonce;
    let claims = Claims::fresh(b.context(), &b.shared().application_id, nonce, b.clock());
    (header, claims.to_json())
}

fn without(mut json: Json, name: &str) -> Json {
    if let Json::Object(members) = &mut json {
        members.remove(name);
    }
    json
}

fn with(mut json: Json, name: &str, value: impl Into<Json>) -> Json {
    json[name] = value.into();
    json
}

/// A token made from right parts, wrongly.
fn made(
    id: &str,
    rule: &'static str,
    what: &'static str,
    make: impl Fn(&Bench<'_>, Json, Json) -> String + Send + Sync + 'static,
) -> Check {
    must(
        format!("trust.{id}"),
        rule,
        format!("{what} is refused"),
        move |b| {
            let (header, claims) = right(b);
            let text = make(b, header, claims);
            let said = b.call_as(A, Some(&text), &say::authenticate(None))?;
            b.no(&said, what)
        },
    )
    .and(&["TRUST-04", "WIRE-10"])
}

/// As [`made`], signed rightly.
fn claims(
    id: &str,
    rule: &'static str,
    what: &'static str,
    change: impl Fn(&Bench<'_>, Json) -> Json + Send + Sync + 'static,
) -> Check {
    made(id, rule, what, move |b, header, claims| {
        token::sign(&header, &change(b, claims), b.shared().authority.key())
    })
}

/// A token that is right, in another form.
fn taken(id: &str, what: &'static str, change: impl Fn(Json) -> Json + Send + Sync + 'static) -> Check {
    must(
        format!("trust.{id}"),
        "TRUST-02",
        format!("{what} is accepted"),
        move |b| {
            let (header, claims) = right(b);
            let text = token::sign(&change(header), &claims, b.shared().authority.key());
            let said = b.call_as(A, Some(&text), &say::authenticate(None))?;
            b.yes(said, what)?;
            Ok(())
        },
    )
}

/// A stranger's call of an operation that writes: refused, and nothing has happened.
fn writes_nothing(id: &str, operation: Operation) -> Check {
    must(
        format!("trust.{id}"),
        "TRUST-04",
        format!("{operation} with a stranger's token is refused and changes nothing"),
        move |b| {
            let table = b.table("guarded", PLAIN)?;
            b.rows(&[Batch::new(&table, 10).row("I", &["[I:1]", "kept"])])?;
            let message = match operation {
                Operation::TableSchema => say::table_schema(None, &[table.named("a_strangers_table")]),
                Operation::RowData => {
                    say::row_data(None, &[Batch::new(&table, 99).row("D", &["[I:1]", "~"])])
                }
                Operation::Wipe => say::wipe(None, Some("guarded")),
                _ => say::completed(None, &[("guarded", 1, 0, 0)]),
            };
            let minted = b.mint();
            let now = b.clock();
            let text = b.tokens().defective(&TokenDefect::WrongKey, &minted.nonce, now);
            let said = b.call_as(operation, text.as_deref(), &message)?;
            b.no(&said, &format!("{operation} with a token signed by a stranger"))?;
            b.holds(&table, &[&["[I:1]", "kept"]])?;
            b.lsn_is(&[table], "guarded", 10)
        },
    )
}

pub(super) fn checks() -> Vec<Check> {
    use TokenDefect as D;
    vec![
        defect(
            "wrong-key",
            "TRUST-04",
            "a token signed by another key",
            D::WrongKey,
        ),
        defect(
            "unknown-certificate",
            "TRUST-04",
            "a token of a certificate that nobody knows",
            D::UnknownKid,
        ),
        defect(
            "no-certificate",
            "TRUST-02",
            "a token that names no certificate",
            D::NoKid,
        ),
        defect(
            "expired",
            "TRUST-03",
            "a token that expired an hour ago",
            D::Expired,
        ),
        defect(
            "not-yet-valid",
            "TRUST-03",
            "a token that begins in an hour",
            D::NotYetValid,
        ),
        defect(
            "two-tenants",
            "TRUST-05",
            "a token that names two tenants",
            D::TwoTenants,
        ),
        defect(
            "path-tenant",
            "TRUST-05",
            "a tenant that climbs out of a directory",
            D::PathTenant,
        ),
        defect(
            "other-audience",
            "TRUST-03",
            "a token for another application",
            D::OtherAudience,
        ),
        defect(
            "other-issuer",
            "TRUST-03",
            "a token of another issuer",
            D::OtherIssuer,
        ),
        defect("no-nonce", "TRUST-03", "a token without a nonce", D::NoNonce),
        defect(
            "alg-none",
            "TRUST-04",
            "a token with the algorithm `none`",
            D::AlgNone,
        ),
        defect(
            "hs256",
            "TRUST-04",
            "a token keyed with the public certificate as HS256",
            D::Hs256,
        ),
        defect(
            "tampered",
            "TRUST-04",
            "a token whose claims were changed after signing",
            D::Tampered,
        ),
        defect(
            "no-header",
            "WIRE-08",
            "a call without SignedToken",
            D::MissingHeader,
        ),
        defect("empty", "WIRE-08", "an empty SignedToken", D::Empty),
        defect("garbage", "TRUST-01", "a SignedToken that is no JWT", D::Garbage),
        made(
            "hs256-key",
            "TRUST-04",
            "a token keyed with the public key as HS256",
            |b, header, claims| {
                let header = with(header, "alg", "HS256");
                let input = token::signing_input(&header, &claims);
                let pem = b
                    .shared()
                    .authority
                    .certificate()
                    .key()
                    .to_pem()
                    .unwrap_or_default();
                let mac = hmac_sha256(pem.as_bytes(), input.as_bytes());
                format!("{input}.{}", URL_SAFE_NO_PAD.encode(mac))
            },
        ),
        made(
            "alg-none-case",
            "TRUST-04",
            "the algorithm `NONE` without a signature",
            |_, header, claims| format!("{}.", token::signing_input(&with(header, "alg", "NONE"), &claims)),
        ),
        made(
            "no-signature",
            "TRUST-04",
            "a token whose signature was cut off",
            |b, header, claims| {
                let whole = token::sign(&header, &claims, b.shared().authority.key());
                let cut = whole.rfind('.').map_or(whole.len(), |at| at + 1);
                whole[..cut].to_owned()
            },
        ),
        made(
            "two-parts",
            "TRUST-01",
            "a token of two parts",
            |_, header, claims| token::signing_input(&header, &claims),
        ),
        made(
            "other-signature",
            "TRUST-04",
            "a token with another token's signature",
            |b, header, claims| {
                let key = b.shared().authority.key();
                let other = token::sign(&header, &with(claims.clone(), "nonce", "0".repeat(32)), key);
                let signature = other.rsplit('.').next().unwrap_or_default().to_owned();
                format!("{}.{signature}", token::signing_input(&header, &claims))
            },
        ),
        made(
            "header-changed",
            "TRUST-04",
            "a token whose header was changed after signing",
            |b, header, claims| {
                let signed = token::sign(&header, &claims, b.shared().authority.key());
                let signature = signed.rsplit('.').next().unwrap_or_default().to_owned();
                format!(
                    "{}.{signature}",
                    token::signing_input(&with(header, "typ", "JWS"), &claims)
                )
            },
        ),
        made(
            "embedded-key",
            "TRUST-04",
            "a token that brings its own key (jwk, x5c)",
            |b, header, claims| {
                let stranger = b.shared().authority.stranger();
                let public = stranger.public().to_xml();
                let header = with(header, "x5c", json!([STANDARD.encode(public.as_bytes())]));
                let header = with(
                    header,
                    "jwk",
                    json!({ "kty": "RSA", "n": STANDARD.encode(public), "e": "AQAB" }),
                );
                token::sign(&header, &claims, stranger)
            },
        ),
        made(
            "key-path",
            "TRUST-08",
            "a key id that climbs out of a directory",
            |b, header, claims| {
                let header = with(without(header, "x5t"), "kid", "../../etc/passwd");
                token::sign(&header, &claims, b.shared().authority.key())
            },
        ),
        claims("no-expiry", "TRUST-03", "a token without an expiry", |_, c| {
            without(c, "exp")
        }),
        claims("no-issuer", "TRUST-03", "a token without an issuer", |_, c| {
            without(c, "iss")
        }),
        claims(
            "no-audience",
            "TRUST-03",
            "a token without an audience",
            |_, c| without(c, "aud"),
        ),
        claims(
            "audience-prefix",
            "TRUST-03",
            "an audience that only begins like ours",
            |b, c| with(c, "aud", format!("spn:{}-and-more", b.shared().application_id)),
        ),
        claims("no-tenant", "TRUST-05", "a token without a tenant", |_, c| {
            without(without(c, "sub"), CONTEXT_CLAIM)
        }),
        claims("empty-tenant", "TRUST-05", "an empty tenant", |_, c| {
            with(with(c, "sub", ""), CONTEXT_CLAIM, "")
        }),
        claims(
            "sql-tenant",
            "TRUST-05",
            "a tenant with SQL in its name",
            |_, c| {
                let name = "Cust1\"; DROP TABLE contact; --";
                with(with(c, "sub", name), CONTEXT_CLAIM, name)
            },
        ),
        claims(
            "long-tenant",
            "TRUST-05",
            "a tenant's name of 65 letters",
            |_, c| {
                let name = "C".repeat(65);
                with(with(c, "sub", name.as_str()), CONTEXT_CLAIM, name.as_str())
            },
        ),
        claims(
            "long-expired",
            "TRUST-03",
            "a token of twenty minutes ago",
            |b, c| {
                let then = b.clock() - 1200;
                with(with(c, "nbf", then), "exp", then + 360)
            },
        ),
        writes_nothing("stranger-table-schema", Operation::TableSchema),
        writes_nothing("stranger-row-data", Operation::RowData),
        writes_nothing("stranger-wipe", Operation::Wipe),
        writes_nothing("stranger-completed", Operation::ReplicationCompleted),
        taken("only-x5t", "a token whose header has x5t alone", |h| {
            without(h, "kid")
        }),
        taken("only-kid", "a token whose header has kid alone", |h| {
            without(h, "x5t")
        }),
        taken("kid-lower-case", "a kid in lower case", |h| {
            let kid = h["kid"].as_str().unwrap_or_default().to_ascii_lowercase();
            with(h, "kid", kid)
        }),
        taken("no-type", "a token whose header has no typ", |h| {
            without(h, "typ")
        }),
        must(
            "trust.issued-at",
            "TRUST-03",
            "a token with claims beyond those seen is accepted",
            |b| {
                let (header, claims) = right(b);
                let now = b.clock();
                let claims = with(with(claims, "iat", now), "jti", "5f0c");
                let text = token::sign(&header, &claims, b.shared().authority.key());
                let said = b.call_as(A, Some(&text), &say::authenticate(None))?;
                b.yes(said, "a token with iat and jti")?;
                Ok(())
            },
        ),
        should(
            "trust.clock-drift",
            "TRUST-04",
            "a clock that is thirty seconds ahead is borne",
            |b| {
                let (header, claims) = right(b);
                let then = b.clock() + 30;
                let claims = with(with(claims, "nbf", then), "exp", then + 360);
                let text = token::sign(&header, &claims, b.shared().authority.key());
                let said = b.call_as(A, Some(&text), &say::authenticate(None))?;
                b.yes(said, "a token that begins in thirty seconds")?;
                Ok(())
            },
        ),
        should(
            "trust.repeated",
            "TRUST-09",
            "a call that arrives twice is accepted twice",
            |b| {
                let text = b.token();
                for which in ["a token", "the same token again, as a proxy may send it"] {
                    let said = b.call_as(A, Some(&text), &say::authenticate(None))?;
                    b.yes(said, which)?;
                }
                Ok(())
            },
        ),
        must(
            "trust.fresh-each",
            "TRUST-01",
            "each call is judged by its own token",
            |b| {
                let table = b.table("fresh", PLAIN)?;
                let said = b.call_as(Operation::Wipe, Some("nonsense"), &say::wipe(None, Some("fresh")))?;
                b.no(
                    &said,
                    "a wrong token right after a right one on the same connection",
                )?;
                b.rows(&[Batch::new(&table, 5)])
            },
        ),
    ]
}
