use std::fs;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mirrorlab_protocol::clock::ManualClock;
use mirrorlab_protocol::token;
use serde_json::{Value as Json, json};

use super::directory::DirectoryError;
use super::openid::OpenIdResolver;
use super::resolver::{Named, ResolveError};
use super::*;
use crate::testing::{APPLICATION, Authority, Canned, NONCE, NOW, STRANGER, SUPEROFFICE, trust};

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(NOW))
}

fn check(token: &str) -> Result<Tenant, TrustError> {
    trust(&clock()).check(Some(token))
}

#[test]
fn a_right_token_names_its_tenant() {
    let tenant = Tenant {
        context: "Cust24709".into(),
        nonce: NONCE.into(),
    };
    let token = SUPEROFFICE.token("Cust24709");
    assert_eq!(check(&token), Ok(tenant.clone()));
    assert_eq!(check(&format!("\r\n  {token}\r\n")), Ok(tenant));
}

#[test]
fn either_name_of_the_certificate_is_enough() {
    for missing in ["kid", "x5t"] {
        let token = SUPEROFFICE.token_with(|header, _| {
            header.as_object_mut().unwrap().remove(missing);
        });
        check(&token).unwrap();
    }
    let lower = SUPEROFFICE.token_with(|header, _| {
        header["kid"] = header["kid"].as_str().unwrap().to_lowercase().into();
        header.as_object_mut().unwrap().remove("x5t");
    });
    check(&lower).unwrap();
}

/// Signed with the public key as an HMAC secret would be: the header alone must be enough to refuse it.
fn unsigned(algorithm: &str, signature: &[u8]) -> String {
    let right = SUPEROFFICE.token("Cust1");
    let claims = right.split('.').nth(1).unwrap();
    let mut header = SUPEROFFICE.header();
    header["alg"] = algorithm.into();
    format!(
        "{}.{claims}.{}",
        URL_SAFE_NO_PAD.encode(header.to_string()),
        URL_SAFE_NO_PAD.encode(signature)
    )
}

#[test]
fn each_wrong_thing_is_refused_in_words() {
    let right = SUPEROFFICE.token("Cust1");
    let with = |change: fn(&mut Json, &mut Json)| SUPEROFFICE.token_with(change);
    let (body, _) = right.rsplit_once('.').unwrap();
    let (_, foreign_signature) = {
        let theirs = token::sign(&SUPEROFFICE.header(), &json!({}), &STRANGER.key);
        let (b, s) = theirs.rsplit_once('.').unwrap();
        (b.to_owned(), s.to_owned())
    };
    // The same certificate is named, but a stranger signs.
    let forged = {
        let header = SUPEROFFICE.header();
        let claims = token::Claims::fresh("Cust1", APPLICATION, NONCE.into(), NOW).to_json();
        token::sign(&header, &claims, &STRANGER.key)
    };
    let tampered = {
        let mut parts: Vec<&str> = right.split('.').collect();
        let claims = token::Claims::fresh("Cust2", APPLICATION, NONCE.into(), NOW).to_json();
        let other = URL_SAFE_NO_PAD.encode(claims.to_string());
        parts[1] = &other;
        parts.join(".")
    };
    let cases: Vec<(&str, String)> = vec![
        ("nothing", String::new()),
        ("nonsense", "nonsense".into()),
        ("two parts", "a.b".into()),
        ("not JSON", "YWJj.YWJj.YWJj".into()),
        ("no signature", format!("{body}.")),
        ("foreign signature", format!("{body}.{foreign_signature}")),
        ("forged", forged),
        ("tampered", tampered),
        ("alg none", unsigned("none", b"")),
        (
            "HS256 with the public key as its secret",
            unsigned("HS256", &[7; 32]),
        ),
        ("RS512", with(|h, _| h["alg"] = "RS512".into())),
        ("unknown certificate", STRANGER.token("Cust1")),
        ("no key id", with(|h, _| *h = json!({"alg": "RS256"}))),
        ("issuer", with(|_, c| c["iss"] = "SuperOffice".into())),
        (
            "no issuer",
            with(|_, c| drop(c.as_object_mut().unwrap().remove("iss"))),
        ),
        ("audience", with(|_, c| c["aud"] = "spn:other".into())),
        ("audience without spn", with(|_, c| c["aud"] = APPLICATION.into())),
        ("audience list", with(|_, c| c["aud"] = json!(["spn:0123abcd"]))),
        (
            "not yet",
            with(|_, c| c["nbf"] = (NOW + LEEWAY_SECONDS + 1).into()),
        ),
        ("expired", with(|_, c| c["exp"] = (NOW - LEEWAY_SECONDS).into())),
        (
            "no expiry",
            with(|_, c| drop(c.as_object_mut().unwrap().remove("exp"))),
        ),
        ("expiry as text", with(|_, c| c["exp"] = "1700000000".into())),
        (
            "no nonce",
            with(|_, c| drop(c.as_object_mut().unwrap().remove("nonce"))),
        ),
        ("two tenants", with(|_, c| c["sub"] = "Cust2".into())),
        (
            "a tenant that leaves",
            with(|_, c| {
                c["sub"] = "../x".into();
                c[token::CONTEXT_CLAIM] = "../x".into();
            }),
        ),
    ];
    let said: Vec<String> = cases
        .iter()
        .map(|(name, token)| {
            let said = check(token).expect_err(name).to_string();
            format!("{name}: {said}")
        })
        .collect();
    let print = |authority: &Authority| authority.certificate.thumbprint_hex();
    insta::assert_snapshot!(said.join("\n").replace(&print(&STRANGER), "[thumbprint]"));
}

#[test]
fn leeway_ends_where_it_says() {
    let at = |name: &'static str, time: i64| {
        check(&SUPEROFFICE.token_with(|_, claims| claims[name] = time.into())).is_ok()
    };
    assert!(at("nbf", NOW + LEEWAY_SECONDS) && !at("nbf", NOW + LEEWAY_SECONDS + 1));
    assert!(at("exp", NOW - LEEWAY_SECONDS + 1) && !at("exp", NOW - LEEWAY_SECONDS));
}

#[test]
fn a_nonce_is_refused_the_second_time_where_asked_for() {
    let clock = clock();
    let patient = trust(&clock);
    let strict = trust(&clock).refusing_replays();
    let token = SUPEROFFICE.token("Cust1");
    for _ in 0..2 {
        patient.check(Some(&token)).unwrap();
    }
    strict.check(Some(&token)).unwrap();
    assert_eq!(strict.check(Some(&token)), Err(TrustError::Replayed));
    // A tenant's nonce is that tenant's.
    strict.check(Some(&SUPEROFFICE.token("Cust2"))).unwrap();
    clock.advance(token::LIFETIME_SECONDS + LEEWAY_SECONDS - 1);
    assert_eq!(strict.check(Some(&token)), Err(TrustError::Replayed));
    clock.advance(1);
    assert!(matches!(
        strict.check(Some(&token)),
        Err(TrustError::Token(TokenError::Expired(_)))
    ));
}

#[test]
fn the_memory_of_nonces_is_bounded_and_forgets_what_expired() {
    let nonces = Nonces::with_room(2);
    assert_eq!(nonces.take("a", "1", 0, 10), Ok(()));
    assert_eq!(nonces.take("a", "2", 0, 20), Ok(()));
    assert_eq!(nonces.take("a", "3", 0, 20), Err(TrustError::TooManyNonces));
    assert_eq!(nonces.take("A", "1", 9, 10), Err(TrustError::Replayed));
    assert_eq!(nonces.take("a", "3", 10, 20), Ok(()));
    assert_eq!(nonces.len(), 2);
    assert_eq!(nonces.take("a", "4", 80, 90), Ok(()));
    assert_eq!(nonces.len(), 1);
    // At the very second it expires a token is no longer a replay: it is refused as expired before it comes here.
    assert_eq!(nonces.take("a", "4", 90, 99), Ok(()));
    // With room left, what expired goes once a minute.
    let nonces = Nonces::with_room(100);
    assert!(nonces.is_empty());
    assert_eq!(nonces.take("a", "1", NOW, NOW + 10), Ok(()));
    assert!(!nonces.is_empty());
    assert_eq!(nonces.take("a", "2", NOW + 59, NOW + 99), Ok(()));
    assert_eq!(nonces.len(), 2);
    assert_eq!(nonces.take("a", "3", NOW + 60, NOW + 99), Ok(()));
    assert_eq!(nonces.len(), 2, "the first is forgotten");
}

// The directory.

fn directory_trust(directory: CertificateDirectory, clock: &Arc<ManualClock>) -> Trust {
    let clock = Arc::clone(clock);
    Trust::new(APPLICATION, clock).with_directory(directory)
}

#[test]
fn certificates_are_read_in_every_form_and_broken_files_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write(
        "broken.cer",
        b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    );
    write("empty.der", b"");
    write(
        "key.pem",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
    );
    write("readme.txt", b"not looked at");
    fs::create_dir(folder.path().join("folder.cer")).unwrap();
    write(
        "both.PEM",
        format!("{}\n{}", SUPEROFFICE.pem(), STRANGER.pem()).as_bytes(),
    );
    let both = CertificateDirectory::open(folder.path()).unwrap();
    assert_eq!(both.len(), 2);
    fs::remove_file(folder.path().join("both.PEM")).unwrap();
    write("so.der", SUPEROFFICE.certificate.der());
    let one = CertificateDirectory::open(folder.path()).unwrap();
    assert!(one.find(&SUPEROFFICE.key_id(), NOW).is_some());
    assert!(one.find(&STRANGER.key_id(), NOW).is_none());
    assert_eq!((one.len(), one.is_empty()), (1, false));
    // Someone empties it while the server runs.
    fs::remove_file(folder.path().join("so.der")).unwrap();
    assert!(one.find(&SUPEROFFICE.key_id(), NOW + 1).is_none());
    assert_eq!((one.len(), one.is_empty()), (0, true));
}

#[test]
fn a_file_of_more_than_a_megabyte_is_no_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let of_length = |length: usize| {
        let mut text = SUPEROFFICE.pem().into_bytes();
        text.resize(length, b'\n');
        fs::write(folder.path().join("so.pem"), text).unwrap();
        CertificateDirectory::open(folder.path())
    };
    assert_eq!(of_length(1024 * 1024).unwrap().len(), 1);
    let said = of_length(1024 * 1024 + 1).err().unwrap().to_string();
    assert!(said.ends_with("so.pem: larger than 1048576 bytes"), "{said}");
}

#[test]
fn a_directory_without_a_certificate_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let said = |result: Result<CertificateDirectory, DirectoryError>| {
        let text = result.err().unwrap().to_string();
        text.replace(&folder.path().display().to_string(), "DIR")
    };
    let mut all = vec![
        said(CertificateDirectory::open(&folder.path().join("missing"))),
        said(CertificateDirectory::open(folder.path())),
    ];
    fs::write(folder.path().join("so.cer"), "no certificate").unwrap();
    all.push(said(CertificateDirectory::open(folder.path())));
    // The set of keys around the directory that is meant, with more files that are none.
    for name in ["tls.pem", "a.pem", "b.pem"] {
        fs::write(folder.path().join(name), "no certificate").unwrap();
    }
    fs::create_dir(folder.path().join("trust")).unwrap();
    fs::write(folder.path().join("trust").join("so.cer"), SUPEROFFICE.pem()).unwrap();
    all.push(said(CertificateDirectory::open(folder.path())));
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn the_directory_is_read_again_when_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("so.cer");
    fs::write(&file, SUPEROFFICE.pem()).unwrap();
    let clock = clock();
    let trust = directory_trust(CertificateDirectory::open(folder.path()).unwrap(), &clock);
    let (ours, theirs) = (SUPEROFFICE.token("Cust1"), STRANGER.token("Cust1"));
    trust.check(Some(&ours)).unwrap();
    assert!(trust.check(Some(&theirs)).is_err());
    // One that was not known is seen at once,
    fs::write(folder.path().join("new.crt"), STRANGER.pem()).unwrap();
    trust.check(Some(&theirs)).unwrap();
    // one that was withdrawn with the next second.
    fs::remove_file(&file).unwrap();
    trust.check(Some(&ours)).unwrap();
    clock.advance(1);
    assert!(trust.check(Some(&ours)).is_err());
    trust.check(Some(&theirs)).unwrap();
    // Broken in its place, and mended.
    fs::write(folder.path().join("new.crt"), "half").unwrap();
    clock.advance(1);
    assert!(trust.check(Some(&theirs)).is_err());
    fs::write(folder.path().join("new.crt"), STRANGER.pem()).unwrap();
    trust.check(Some(&theirs)).unwrap();
    // A directory that is away for a moment takes no trust away.
    let aside = tempfile::tempdir().unwrap();
    fs::rename(folder.path(), aside.path().join("away")).unwrap();
    clock.advance(1);
    trust.check(Some(&theirs)).unwrap();
}

// The resolver.

type Answer = Box<dyn Fn(&KeyId) -> Result<Option<Certificate>, ResolveError> + Send + Sync>;

/// Answers as told, and counts.
struct Scripted {
    answer: Arc<Mutex<Answer>>,
    count: Arc<AtomicUsize>,
}

impl CertificateResolver for Scripted {
    fn resolve(&self, key: &KeyId) -> Result<Option<Certificate>, ResolveError> {
        self.count.fetch_add(1, Ordering::SeqCst);
        self.answer.lock().unwrap()(key)
    }
}

struct ResolverBench {
    trust: Trust,
    clock: Arc<ManualClock>,
    answer: Arc<Mutex<Answer>>,
    count: Arc<AtomicUsize>,
}

impl ResolverBench {
    fn new(
        limits: ResolverLimits,
        answer: impl Fn(&KeyId) -> Result<Option<Certificate>, ResolveError> + Send + Sync + 'static,
    ) -> ResolverBench {
        let answer: Arc<Mutex<Answer>> = Arc::new(Mutex::new(Box::new(answer)));
        let count = Arc::new(AtomicUsize::new(0));
        let clock = clock();
        let scripted = Scripted {
            answer: Arc::clone(&answer),
            count: Arc::clone(&count),
        };
        let trust = Trust::new(APPLICATION, clock.clone() as Arc<dyn Clock>)
            .with_leeway(1_000_000)
            .with_resolver(Box::new(scripted), limits);
        ResolverBench {
            trust,
            clock,
            answer,
            count,
        }
    }

    fn says(
        &self,
        answer: impl Fn(&KeyId) -> Result<Option<Certificate>, ResolveError> + Send + Sync + 'static,
    ) {
        *self.answer.lock().unwrap() = Box::new(answer);
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }

    fn check(&self, authority: &Authority) -> Result<Tenant, TrustError> {
        self.trust.check(Some(&authority.token("Cust1")))
    }
}

fn honest(key: &KeyId) -> Result<Option<Certificate>, ResolveError> {
    let known = &SUPEROFFICE.certificate;
    Ok(key.names(known).then(|| known.clone()))
}

fn down(_: &KeyId) -> Result<Option<Certificate>, ResolveError> {
    Err(ResolveError("down".into()))
}

fn unknown(_: &KeyId) -> Result<Option<Certificate>, ResolveError> {
    Ok(None)
}

#[test]
fn answers_are_kept_and_asked_for_again_when_old() {
    let bench = ResolverBench::new(ResolverLimits::default(), honest);
    for _ in 0..5 {
        bench.check(&SUPEROFFICE).unwrap();
    }
    assert_eq!(bench.count(), 1);
    bench.clock.advance(24 * 60 * 60);
    bench.check(&SUPEROFFICE).unwrap();
    assert_eq!(bench.count(), 2);
}

#[test]
fn a_failing_resolver_takes_no_known_key_away() {
    let bench = ResolverBench::new(ResolverLimits::default(), honest);
    bench.check(&SUPEROFFICE).unwrap();
    bench.says(down);
    bench.clock.advance(24 * 60 * 60);
    for _ in 0..3 {
        bench.check(&SUPEROFFICE).unwrap();
    }
    assert_eq!(bench.count(), 2, "a failure is not asked for again at once");
    bench.clock.advance(10);
    bench.check(&SUPEROFFICE).unwrap();
    assert_eq!(bench.count(), 3);
    // What it says it no longer knows is known no longer.
    bench.says(unknown);
    bench.clock.advance(10);
    assert!(matches!(
        bench.check(&SUPEROFFICE),
        Err(TrustError::UnknownCertificate(_))
    ));
}

#[test]
fn misses_are_kept_and_failures_for_a_shorter_time() {
    let bench = ResolverBench::new(ResolverLimits::default(), unknown);
    for _ in 0..3 {
        assert!(matches!(
            bench.check(&STRANGER),
            Err(TrustError::UnknownCertificate(_))
        ));
    }
    assert_eq!(bench.count(), 1);
    bench.says(down);
    bench.clock.advance(60);
    for _ in 0..3 {
        assert!(matches!(bench.check(&STRANGER), Err(TrustError::NoLookup(_))));
    }
    assert_eq!(bench.count(), 2);
    bench.says(|_| Ok(Some(STRANGER.certificate.clone())));
    bench.clock.advance(10);
    bench.check(&STRANGER).unwrap();
    assert_eq!(bench.count(), 3);
}

#[test]
fn invented_key_ids_cannot_make_the_resolver_busy() {
    let bench = ResolverBench::new(ResolverLimits::default(), honest);
    bench.check(&SUPEROFFICE).unwrap();
    for n in 0..100 {
        let token = STRANGER.token_with(|header, _| {
            header["kid"] = format!("{n:040X}").into();
            header.as_object_mut().unwrap().remove("x5t");
        });
        bench.trust.check(Some(&token)).unwrap_err();
    }
    assert_eq!(bench.count(), 10);
    bench.check(&SUPEROFFICE).unwrap();
    // One that is too long to be an id is not even asked for.
    bench.clock.advance(60);
    let token = STRANGER.token_with(|header, _| header["kid"] = "A".repeat(200).into());
    bench.trust.check(Some(&token)).unwrap_err();
    assert_eq!(bench.count(), 10);
    bench.check(&STRANGER).unwrap_err();
    assert_eq!(bench.count(), 11);
    for (part, length, asked) in [("kid", 128, 1), ("kid", 129, 0), ("x5t", 128, 1), ("x5t", 129, 0)] {
        let before = bench.count();
        bench.clock.advance(60);
        let token = STRANGER.token_with(|header, _| header[part] = "A".repeat(length).into());
        bench.trust.check(Some(&token)).unwrap_err();
        assert_eq!(bench.count() - before, asked, "{part} {length}");
    }
}

/// A resolver whose one answer brings every key there is.
struct WholeSet {
    published: Arc<Mutex<Vec<Certificate>>>,
    count: Arc<AtomicUsize>,
}

impl CertificateResolver for WholeSet {
    fn resolve(&self, _: &KeyId) -> Result<Option<Certificate>, ResolveError> {
        panic!("the whole set is there to be asked for")
    }

    fn resolve_all(&self) -> Option<Result<Vec<Named>, ResolveError>> {
        self.count.fetch_add(1, Ordering::SeqCst);
        let named = |certificate: &Certificate| Named {
            key: KeyId { kid: None, x5t: None },
            certificate: certificate.clone(),
        };
        Some(Ok(self.published.lock().unwrap().iter().map(named).collect()))
    }
}

#[test]
fn a_flood_of_invented_key_ids_keeps_no_new_key_out_and_no_withdrawn_one_in() {
    let published = Arc::new(Mutex::new(vec![SUPEROFFICE.certificate.clone()]));
    let count = Arc::new(AtomicUsize::new(0));
    let clock = clock();
    let resolver = WholeSet {
        published: Arc::clone(&published),
        count: Arc::clone(&count),
    };
    let trust = Trust::new(APPLICATION, clock.clone() as Arc<dyn Clock>)
        .with_leeway(1_000_000)
        .with_resolver(Box::new(resolver), ResolverLimits::default());
    let check = |authority: &Authority| trust.check(Some(&authority.token("Cust1")));
    check(&SUPEROFFICE).unwrap();
    let mut invented = 0;
    let mut flood = |seconds: i64| {
        for _ in 0..seconds {
            for _ in 0..3 {
                invented += 1;
                let token = STRANGER.token_with(|header, _| {
                    header["kid"] = format!("{invented:040X}").into();
                    header.as_object_mut().unwrap().remove("x5t");
                });
                trust.check(Some(&token)).unwrap_err();
            }
            clock.advance(1);
        }
    };
    flood(60);
    let asked = count.load(Ordering::SeqCst);
    assert!((10..=20).contains(&asked), "{asked} questions in a minute");
    check(&SUPEROFFICE).unwrap();
    check(&STRANGER).unwrap_err();
    // A new key comes with the next question, whoever asks it.
    published.lock().unwrap().push(STRANGER.certificate.clone());
    flood(7);
    check(&STRANGER).unwrap();
    check(&SUPEROFFICE).unwrap();
    // One that was withdrawn goes when it would have been asked for again, whoever asks.
    published.lock().unwrap().remove(0);
    clock.advance(24 * 60 * 60);
    flood(7);
    check(&SUPEROFFICE).unwrap_err();
    check(&STRANGER).unwrap();
}

#[test]
fn an_answer_without_a_key_that_is_not_due_leaves_it_known() {
    let published = Arc::new(Mutex::new(vec![SUPEROFFICE.certificate.clone()]));
    let count = Arc::new(AtomicUsize::new(0));
    let resolver = WholeSet {
        published: Arc::clone(&published),
        count: Arc::clone(&count),
    };
    let clock = clock();
    let trust = Trust::new(APPLICATION, clock.clone() as Arc<dyn Clock>)
        .with_leeway(1_000_000)
        .with_resolver(Box::new(resolver), ResolverLimits::default());
    let check = |authority: &Authority| trust.check(Some(&authority.token("Cust1")));
    check(&SUPEROFFICE).unwrap();
    *published.lock().unwrap() = vec![STRANGER.certificate.clone()];
    check(&STRANGER).unwrap();
    check(&SUPEROFFICE).unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 2);
    // Due at the very second that ends its time.
    clock.advance(ResolverLimits::default().hit_seconds);
    let other = Authority::new();
    check(&other).unwrap_err();
    assert_eq!(count.load(Ordering::SeqCst), 3);
    check(&SUPEROFFICE).unwrap_err();
}

#[test]
fn an_unknown_key_stays_so_while_others_are_asked_for() {
    let bench = ResolverBench::new(ResolverLimits::default(), |_| Ok(None));
    for (authority, asked) in [(&SUPEROFFICE, 1), (&STRANGER, 2), (&SUPEROFFICE, 2)] {
        bench.check(authority).unwrap_err();
        assert_eq!(bench.count(), asked);
    }
}

/// A resolver whose keys have names of their own.
struct Nicknames(Arc<AtomicUsize>);

impl CertificateResolver for Nicknames {
    fn resolve(&self, _: &KeyId) -> Result<Option<Certificate>, ResolveError> {
        panic!("the whole set is there to be asked for")
    }

    fn resolve_all(&self) -> Option<Result<Vec<Named>, ResolveError>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let named = |kid: &str, authority: &Authority| Named {
            key: KeyId {
                kid: Some(kid.into()),
                x5t: None,
            },
            certificate: authority.certificate.clone(),
        };
        Some(Ok(vec![named("one", &SUPEROFFICE), named("two", &STRANGER)]))
    }
}

#[test]
fn a_key_that_came_along_is_known_by_its_name() {
    let asked = Arc::new(AtomicUsize::new(0));
    let trust = Trust::new(APPLICATION, clock() as Arc<dyn Clock>)
        .with_resolver(Box::new(Nicknames(Arc::clone(&asked))), ResolverLimits::default());
    for (kid, authority) in [("one", &SUPEROFFICE), ("two", &STRANGER)] {
        let token = authority.token_with(|header, _| {
            header["kid"] = kid.into();
            header.as_object_mut().unwrap().remove("x5t");
        });
        trust.check(Some(&token)).unwrap();
    }
    // The name is enough, whatever stands beside it, and so is the thumbprint.
    let token = SUPEROFFICE.token_with(|header, _| {
        header["kid"] = "one".into();
        header["x5t"] = "invented".into();
    });
    trust.check(Some(&token)).unwrap();
    trust.check(Some(&STRANGER.token("Cust1"))).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_key_that_is_due_and_came_along_stays_known_by_its_name() {
    let asked = Arc::new(AtomicUsize::new(0));
    let clock = clock();
    let limits = ResolverLimits {
        questions_per_minute_max: 1,
        ..ResolverLimits::default()
    };
    let trust = Trust::new(APPLICATION, clock.clone() as Arc<dyn Clock>)
        .with_leeway(1_000_000)
        .with_resolver(Box::new(Nicknames(Arc::clone(&asked))), limits);
    let by_name = SUPEROFFICE.token_with(|header, _| {
        header["kid"] = "one".into();
        header.as_object_mut().unwrap().remove("x5t");
    });
    trust.check(Some(&by_name)).unwrap();
    clock.advance(limits.hit_seconds);
    // Its certificate is asked for by another name. That takes the one question there is.
    trust.check(Some(&SUPEROFFICE.token("Cust1"))).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    trust.check(Some(&by_name)).unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}

#[test]
fn the_oldest_answer_makes_room_for_a_new_one() {
    let limits = ResolverLimits {
        hits_max: 1,
        questions_per_minute_max: 100,
        ..ResolverLimits::default()
    };
    let bench = ResolverBench::new(limits, |key| {
        let all = [&SUPEROFFICE.certificate, &STRANGER.certificate];
        Ok(all.into_iter().find(|c| key.names(c)).cloned())
    });
    for (authority, count) in [
        (&SUPEROFFICE, 1),
        (&SUPEROFFICE, 1),
        (&STRANGER, 2),
        (&STRANGER, 2),
        (&SUPEROFFICE, 3),
    ] {
        bench.check(authority).unwrap();
        assert_eq!(bench.count(), count);
    }
}

#[test]
fn a_known_key_under_invented_names_pushes_nothing_out() {
    let limits = ResolverLimits {
        hits_max: 4,
        ..ResolverLimits::default()
    };
    let bench = ResolverBench::new(limits, honest);
    bench.check(&SUPEROFFICE).unwrap();
    let real = SUPEROFFICE.certificate.thumbprint_hex();
    for n in 0..20 {
        let token = STRANGER.token_with(|header, _| {
            header["kid"] = real.clone().into();
            header["x5t"] = format!("invented{n}").into();
        });
        bench.trust.check(Some(&token)).unwrap_err();
    }
    assert_eq!(bench.count(), 1, "half of the id is known");
    bench.says(down);
    bench.check(&SUPEROFFICE).unwrap();
    assert_eq!(bench.count(), 1);
}

#[test]
fn a_certificate_that_did_not_sign_proves_nothing() {
    let bench = ResolverBench::new(ResolverLimits::default(), |_| {
        Ok(Some(STRANGER.certificate.clone()))
    });
    assert_eq!(
        bench.check(&SUPEROFFICE),
        Err(TrustError::Token(TokenError::Signature))
    );
}

#[test]
fn the_directory_comes_first_and_a_lying_resolver_is_not_asked() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("so.cer"), SUPEROFFICE.pem()).unwrap();
    let mut bench = ResolverBench::new(ResolverLimits::default(), |_| {
        Ok(Some(STRANGER.certificate.clone()))
    });
    bench.trust = bench
        .trust
        .with_directory(CertificateDirectory::open(folder.path()).unwrap());
    bench.check(&SUPEROFFICE).unwrap();
    assert_eq!(bench.count(), 0);
}

#[test]
fn known_keys_pass_while_a_slow_resolver_is_asked_and_few_wait_for_it() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (entered, inside) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let limits = ResolverLimits {
        waiting_max: 0,
        ..ResolverLimits::default()
    };
    let bench = ResolverBench::new(limits, honest);
    bench.check(&SUPEROFFICE).unwrap();
    bench.says(move |_| {
        entered.send(()).unwrap();
        held.lock().unwrap().recv().unwrap();
        Ok(None)
    });
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| bench.check(&STRANGER));
        inside.recv().unwrap();
        bench.check(&SUPEROFFICE).unwrap();
        // No room to wait: refused at once, not hung.
        assert!(matches!(bench.check(&STRANGER), Err(TrustError::NoLookup(_))));
        // Even where the known key is old.
        bench.clock.advance(24 * 60 * 60);
        bench.check(&SUPEROFFICE).unwrap();
        release.send(()).unwrap();
        assert!(slow.join().unwrap().is_err());
    });
    assert_eq!(bench.count(), 2);
}

#[test]
fn who_finds_room_to_wait_hears_what_the_one_before_was_told() {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (entered, inside) = std::sync::mpsc::channel::<()>();
    let held = Mutex::new(held);
    let limits = ResolverLimits {
        waiting_max: 1,
        ..ResolverLimits::default()
    };
    let bench = ResolverBench::new(limits, move |_| {
        entered.send(()).unwrap();
        held.lock().unwrap().recv().unwrap();
        Ok(None)
    });
    std::thread::scope(|scope| {
        let first = scope.spawn(|| bench.check(&STRANGER).unwrap_err());
        inside.recv().unwrap();
        let (begin, begun) = std::sync::mpsc::channel();
        let bench = &bench;
        let second = scope.spawn(move || {
            begin.send(()).unwrap();
            bench.check(&STRANGER).unwrap_err()
        });
        begun.recv().unwrap();
        // Time to arrive at the door; whether it has or not, it is told the same.
        for _ in 0..1000 {
            std::thread::yield_now();
        }
        release.send(()).unwrap();
        let (first, second) = (first.join().unwrap(), second.join().unwrap());
        assert!(matches!(first, TrustError::UnknownCertificate(_)), "{first}");
        assert!(matches!(second, TrustError::UnknownCertificate(_)), "{second}");
    });
    assert_eq!(bench.count(), 1, "the second one does not ask again");
}

// OpenID discovery.

const DISCOVERY: &str = "/.well-known/openid-configuration";

fn key_set(authority: &Authority) -> Vec<u8> {
    let encoded = STANDARD.encode(authority.certificate.der());
    let other = json!({"kty": "RSA", "kid": "x", "n": "AQAB", "e": "AQAB"});
    let broken = json!({"kty": "RSA", "kid": "y", "x5c": ["AAAA"]});
    let right = json!({"kty": "RSA", "use": "sig", "x5c": [encoded]});
    json!({"keys": [other, broken, right]}).to_string().into_bytes()
}

fn discovery(jwks_uri: &str) -> Vec<u8> {
    json!({"issuer": "x", "jwks_uri": jwks_uri})
        .to_string()
        .into_bytes()
}

fn ask(url: &str) -> Result<Option<Certificate>, ResolveError> {
    OpenIdResolver::with_loopback_http(url)
        .unwrap()
        .resolve(&SUPEROFFICE.key_id())
}

#[test]
fn openid_finds_the_certificate_by_its_thumbprint() {
    let canned = Canned::new(|url| {
        vec![
            (DISCOVERY, 200, "", discovery(&format!("{url}/keys"))),
            ("/keys", 200, "", key_set(&SUPEROFFICE)),
        ]
    });
    let found = Some(SUPEROFFICE.certificate.clone());
    assert_eq!(ask(&canned.url).unwrap(), found);
    assert_eq!(ask(&format!("{}/", canned.url)).unwrap(), found);
    assert_eq!(ask(&format!("{}{DISCOVERY}", canned.url)).unwrap(), found);
    assert_eq!(canned.count(), 6);
    let resolver = OpenIdResolver::with_loopback_http(&canned.url).unwrap();
    assert_eq!(resolver.resolve(&STRANGER.key_id()).unwrap(), None);
    let all = resolver.resolve_all().unwrap().unwrap();
    assert!(
        all.iter()
            .any(|named| named.certificate == SUPEROFFICE.certificate)
    );
    // Through the whole of it.
    let clock = clock();
    let trust = Trust::new(APPLICATION, clock).with_resolver(Box::new(resolver), ResolverLimits::default());
    trust.check(Some(&SUPEROFFICE.token("Cust1"))).unwrap();
}

#[test]
fn openid_takes_a_name_that_the_provider_gives_its_key() {
    let canned = Canned::new(|url| {
        let encoded = STANDARD.encode(SUPEROFFICE.certificate.der());
        let keys = json!({"keys": [{"kid": "named", "x5c": [encoded]}]});
        vec![
            (DISCOVERY, 200, "", discovery(&format!("{url}/keys"))),
            ("/keys", 200, "", keys.to_string().into_bytes()),
        ]
    });
    let resolver = OpenIdResolver::with_loopback_http(&canned.url).unwrap();
    let key = |kid: &str| KeyId {
        kid: Some(kid.into()),
        x5t: None,
    };
    assert!(resolver.resolve(&key("named")).unwrap().is_some());
    assert!(resolver.resolve(&key("other")).unwrap().is_none());
}

#[test]
fn openid_failures_say_what_failed() {
    let mut said = Vec::new();
    let mut fails = |name: &str, pages: &dyn Fn(&str) -> Vec<crate::testing::Page>| {
        let canned = Canned::new(|url| pages(url));
        let error = OpenIdResolver::with_loopback_http(&canned.url)
            .unwrap()
            .with_timeout(Duration::from_secs(20))
            .resolve(&SUPEROFFICE.key_id())
            .unwrap_err();
        said.push(format!(
            "{name}: {}",
            error.to_string().replace(&canned.url, "URL")
        ));
    };
    fails("status", &|_| vec![(DISCOVERY, 500, "", vec![])]);
    fails("no JSON", &|_| vec![(DISCOVERY, 200, "", b"<html>".to_vec())]);
    fails("elsewhere", &|_| {
        vec![(DISCOVERY, 200, "", discovery("http://192.0.2.1/keys"))]
    });
    fails("a file", &|_| {
        vec![(DISCOVERY, 200, "", discovery("file:///etc/passwd"))]
    });
    fails("away from https", &|_| {
        let location = "Location: http://192.0.2.1/\r\n";
        vec![(DISCOVERY, 302, location, vec![])]
    });
    fails("in a circle", &|_| {
        let location = "Location: /.well-known/openid-configuration\r\n";
        vec![(DISCOVERY, 302, location, vec![])]
    });
    fails("too long", &|_| {
        vec![(DISCOVERY, 200, "", vec![b' '; 1024 * 1024 + 1])]
    });
    insta::assert_snapshot!(said.join("\n"));
}

#[test]
fn openid_follows_three_redirects_and_reads_a_megabyte() {
    let megabyte = |mut document: Vec<u8>| {
        document.resize(1024 * 1024, b' ');
        document
    };
    let found = |hops: usize| {
        let canned = Canned::new(|url| {
            let mut pages = vec![("/keys", 200, "", megabyte(key_set(&SUPEROFFICE)))];
            let ways = [
                (DISCOVERY, "Location: /1\r\n", "/1"),
                ("/1", "Location: /2\r\n", "/2"),
                ("/2", "Location: /3\r\n", "/3"),
                ("/3", "Location: /4\r\n", "/4"),
            ];
            for (from, location, _) in &ways[..hops] {
                pages.push((from, 302, location, vec![]));
            }
            let last = hops.checked_sub(1).map_or(DISCOVERY, |n| ways[n].2);
            pages.push((last, 200, "", discovery(&format!("{url}/keys"))));
            pages
        });
        ask(&canned.url)
    };
    assert_eq!(found(0), Ok(Some(SUPEROFFICE.certificate.clone())));
    assert_eq!(found(3), Ok(Some(SUPEROFFICE.certificate.clone())));
    let said = found(4).unwrap_err().to_string();
    assert!(said.contains("too many redirects"), "{said}");
}

#[test]
fn openid_waits_no_longer_than_it_may() {
    let silent = Canned::new(|_| vec![]);
    let error = OpenIdResolver::with_loopback_http(&silent.url)
        .unwrap()
        .with_timeout(Duration::from_millis(50))
        .resolve(&SUPEROFFICE.key_id())
        .unwrap_err();
    assert_eq!(error.to_string(), "no answer within 0.05 s");
}

#[test]
fn openid_takes_https_only() {
    for (url, loopback) in [
        ("http://login.example", false),
        ("http://127.0.0.1:1", false),
        ("http://login.example", true),
        ("ftp://127.0.0.1", true),
        ("login", true),
    ] {
        let made = if loopback {
            OpenIdResolver::with_loopback_http(url)
        } else {
            OpenIdResolver::new(url)
        };
        assert!(made.is_err(), "{url}");
    }
    OpenIdResolver::new("https://login.example/x").unwrap();
    OpenIdResolver::with_loopback_http("http://[::1]:1").unwrap();
}
