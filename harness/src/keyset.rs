//! The certificates and keys of one trial: SuperOffice's, the application's, and the endpoint's for TLS.
//!
//! The files' names are the same for whoever writes them and whoever reads them: `keys new`, `serve`, `simulate`, and a
//! run that keeps its keys.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use mirrorlab_protocol::datetime::DateTime;
use mirrorlab_protocol::keys::{KeyError, PrivateKey};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_RSA_SHA256,
};

/// The directory of SuperOffice's public certificates: what a receiver trusts.
pub const TRUST_DIRECTORY: &str = "trust";
/// SuperOffice's public certificate.
pub const SUPEROFFICE_CERTIFICATE: &str = "trust/superoffice.pem";
/// SuperOffice's private key.
pub const SUPEROFFICE_KEY: &str = "superoffice-private-key.pem";
/// The application's private key as SuperOffice hands them out.
pub const APPLICATION_KEY_XML: &str = "application-private-key.xml";
/// The application's private key as PEM (PKCS#8).
pub const APPLICATION_KEY_PEM: &str = "application-private-key.pem";
/// The application's public key as RSA XML.
pub const APPLICATION_PUBLIC_XML: &str = "application-public-key.xml";
/// The application's public key as PEM.
pub const APPLICATION_PUBLIC_PEM: &str = "application-public-key.pem";
/// The endpoint's TLS certificate.
pub const TLS_CERTIFICATE: &str = "tls-certificate.pem";
/// The endpoint's TLS key.
pub const TLS_KEY: &str = "tls-private-key.pem";
/// The authority that the TLS certificate is signed by, which a caller trusts.
pub const TLS_CA: &str = "tls-ca.pem";
/// Which file goes where, in words.
pub const NOTE: &str = "WHICH-FILE-GOES-WHERE.txt";

/// The size of the RSA keys that are made, in bits (seen on SuperOffice's side).
const RSA_BITS: usize = 2048;
/// How long SuperOffice's certificate is valid, in years (seen).
const SUPEROFFICE_YEARS: i64 = 100;
/// How long the TLS certificate is valid, in years. Some clients refuse one that is valid for longer.
const TLS_YEARS: i64 = 2;

/// The certificates and keys of one trial, as text.
#[derive(Clone)]
pub struct KeySet {
    /// SuperOffice's certificate, PEM.
    pub superoffice_certificate: String,
    /// SuperOffice's private key, PEM (PKCS#8).
    pub superoffice_key: String,
    /// The application's key.
    pub application_key: PrivateKey,
    /// The endpoint's certificate, PEM.
    pub tls_certificate: String,
    /// The endpoint's key, PEM (PKCS#8).
    pub tls_key: String,
    /// The TLS certificate's authority, PEM. Its key is thrown away: it can sign nothing more.
    pub tls_ca: String,
    /// The last day on which the TLS certificate is valid, `2028-11-22`.
    pub tls_valid_to: String,
}

/// Keys that could not be made or written. No text holds a part of a key.
#[derive(Debug, thiserror::Error)]
pub enum KeySetError {
    /// An RSA key.
    #[error("cannot make an RSA key: {0}")]
    Key(#[from] KeyError),
    /// A certificate.
    #[error("cannot make a certificate: {0}")]
    Certificate(#[from] rcgen::Error),
    /// A day that no certificate can have.
    #[error("cannot make a certificate: the clock says a day outside the years 1 to 9899")]
    Clock,
    /// The directory holds something already.
    #[error("{} is not empty: keys are never mixed with other files, nor written over; name a new directory", .0.display())]
    NotEmpty(PathBuf),
    /// The directory's place is something else.
    #[error("{} is not a directory", .0.display())]
    NotADirectory(PathBuf),
    /// The directory's parent is missing.
    #[error("cannot make {}: there is no directory {}", .path.display(), .parent.display())]
    NoParent {
        /// What was to be made.
        path: PathBuf,
        /// What is missing.
        parent: PathBuf,
    },
    /// A file or directory.
    #[error("cannot write {}: {why}", .path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system said.
        why: io::Error,
    },
}

impl KeySet {
    /// Makes everything new, from the system's randomness. `now` is in seconds since 1970 UTC; `hosts` are the names and
    /// addresses that the TLS certificate is for, `localhost`, `127.0.0.1` and `::1` always among them.
    ///
    /// # Errors
    /// [`KeySetError`], of a host that can be no certificate's too.
    pub fn generate(now: i64, hosts: &[String]) -> Result<KeySet, KeySetError> {
        let day = DateTime::from_unix_seconds(now).ok_or(KeySetError::Clock)?.date();
        let (superoffice_certificate, superoffice_key) = superoffice(day)?;
        let tls = Tls::make(day, hosts)?;
        Ok(KeySet {
            superoffice_certificate,
            superoffice_key,
            application_key: PrivateKey::generate(RSA_BITS)?,
            tls_certificate: tls.certificate,
            tls_key: tls.key,
            tls_ca: tls.ca,
            tls_valid_to: tls.valid_to,
        })
    }

    /// Writes everything into the directory `path`, which is made, or must be empty. All of it is there at the end, or
    /// nothing. Private files are for their owner alone.
    ///
    /// # Errors
    /// [`KeySetError`].
    pub fn write(&self, path: &Path) -> Result<(), KeySetError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |why| KeySetError::Write { path, why }
        };
        // A link to an empty directory is that directory.
        let target = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let is_there = target.exists();
        if is_there && !target.is_dir() {
            return Err(KeySetError::NotADirectory(path.to_owned()));
        }
        if is_there && fs::read_dir(&target).map_err(failed(path))?.next().is_some() {
            return Err(KeySetError::NotEmpty(path.to_owned()));
        }
        let parent = match target.parent() {
            Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
            Some(parent) => parent,
            // The root is no place for keys, empty or not.
            None => return Err(KeySetError::NotEmpty(path.to_owned())),
        };
        if !parent.is_dir() {
            return Err(KeySetError::NoParent {
                path: path.to_owned(),
                parent: parent.to_owned(),
            });
        }
        // Beside its place, so that one rename puts all of it there.
        let beside = tempfile::Builder::new()
            .prefix(".mirrorlab-keys-")
            .tempdir_in(parent)
            .map_err(failed(path))?;
        for (name, text, secret) in self.files()? {
            write_file(&beside.path().join(name), &text, secret).map_err(failed(&path.join(name)))?;
        }
        open_directory(beside.path()).map_err(failed(path))?;
        if is_there {
            fs::remove_dir(&target).map_err(failed(path))?;
        }
        let made = beside.keep();
        fs::rename(&made, &target).map_err(|why| {
            // What cannot be put in its place must not stay beside it; the first error is the one to tell.
            let _ = fs::remove_dir_all(&made);
            failed(path)(why)
        })
    }

    /// Every file: its name, its text, whether it is secret.
    fn files(&self) -> Result<Vec<(&'static str, String, bool)>, KeySetError> {
        let public = self.application_key.public();
        Ok(vec![
            (
                SUPEROFFICE_CERTIFICATE,
                self.superoffice_certificate.clone(),
                false,
            ),
            (SUPEROFFICE_KEY, self.superoffice_key.clone(), true),
            (APPLICATION_KEY_XML, self.application_key.to_xml() + "\n", true),
            (APPLICATION_KEY_PEM, self.application_key.to_pem()?, true),
            (APPLICATION_PUBLIC_XML, public.to_xml() + "\n", false),
            (APPLICATION_PUBLIC_PEM, public.to_pem()?, false),
            (TLS_CERTIFICATE, self.tls_certificate.clone(), false),
            (TLS_KEY, self.tls_key.clone(), true),
            (TLS_CA, self.tls_ca.clone(), false),
            (NOTE, self.note(), false),
        ])
    }

    fn note(&self) -> String {
        format!(
            "Which file goes where\n\
             =====================\n\n\
             These keys are for trials. None of them is SuperOffice's own: a server that trusts `{TRUST_DIRECTORY}/` here\n\
             believes whoever holds `{SUPEROFFICE_KEY}`. Never give them to a server that holds real data.\n\n\
             The mirroring server (the partner's side) needs\n\
             \x20 {TRUST_DIRECTORY}/                        --trust            SuperOffice's public certificates\n\
             \x20 {APPLICATION_KEY_XML}   --application-key  secret; or the .pem, it is the same key\n\
             \x20 {TLS_CERTIFICATE}           --tls-cert\n\
             \x20 {TLS_KEY}           --tls-key          secret\n\n\
             The simulator (SuperOffice's side) needs\n\
             \x20 {SUPEROFFICE_KEY}   --keys             secret; signs the tokens\n\
             \x20 {SUPEROFFICE_CERTIFICATE}         --keys             names the key\n\
             \x20 {APPLICATION_PUBLIC_XML}    --keys             checks the server's answers; or the .pem\n\
             \x20 {TLS_CA}                    --ca               trusts the server's TLS certificate\n\n\
             So, from the directory above this one, called `keys` here:\n\
             \x20 mirrorlab serve --listen 127.0.0.1:8443 --application-id my-app --trust keys/{TRUST_DIRECTORY} \\\n\
             \x20   --application-key keys/{APPLICATION_KEY_XML} --tls-cert keys/{TLS_CERTIFICATE} \\\n\
             \x20   --tls-key keys/{TLS_KEY} --mirrors mirrors\n\
             \x20 mirrorlab simulate --endpoint https://localhost:8443/MirroringClientService.svc --application-id my-app \\\n\
             \x20   --keys keys --ca keys/{TLS_CA} --every 30s\n\n\
             The TLS certificate is valid to {}. Its authority's key was thrown away when it was made.\n",
            self.tls_valid_to
        )
    }
}

/// Shows no key.
impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySet(…)")
    }
}

type Day = (i64, i64, i64);

/// SuperOffice's certificate and key: RSA, signed by itself, valid for a hundred years (seen). Only the key counts.
fn superoffice(today: Day) -> Result<(String, String), KeySetError> {
    let key = PrivateKey::generate(RSA_BITS)?.to_pem()?;
    let pair = KeyPair::from_pkcs8_pem_and_sign_algo(&key, &PKCS_RSA_SHA256)?;
    let mut params = valid(today, SUPEROFFICE_YEARS, CertificateParams::default())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "SuperOffice AS (Mirrorlab, for trials)");
    Ok((params.self_signed(&pair)?.pem().replace("\r\n", "\n"), key))
}

struct Tls {
    certificate: String,
    key: String,
    ca: String,
    valid_to: String,
}

impl Tls {
    fn make(today: Day, hosts: &[String]) -> Result<Tls, KeySetError> {
        let mut ca = valid(today, TLS_YEARS, CertificateParams::default())?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        ca.distinguished_name
            .push(DnType::CommonName, "Mirrorlab, authority for trials");
        let ca_key = KeyPair::generate()?;
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);
        let mut names: Vec<String> = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
        names.extend(
            hosts
                .iter()
                .filter(|h| !names.contains(h))
                .cloned()
                .collect::<Vec<_>>(),
        );
        let mut params = valid(today, TLS_YEARS, CertificateParams::new(names)?)?;
        params
            .distinguished_name
            .push(DnType::CommonName, "Mirrorlab, endpoint for trials");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let to = params.not_after;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &issuer)?;
        let lf = |pem: String| pem.replace("\r\n", "\n");
        Ok(Tls {
            certificate: lf(certificate.pem()),
            key: lf(key.serialize_pem()),
            ca: lf(ca_certificate.pem()),
            valid_to: format!("{:04}-{:02}-{:02}", to.year(), u8::from(to.month()), to.day()),
        })
    }
}

/// Valid from `today` for `years`.
fn valid(today: Day, years: i64, mut params: CertificateParams) -> Result<CertificateParams, KeySetError> {
    let date = |(year, month, day): Day| match (i32::try_from(year), u8::try_from(month), u8::try_from(day)) {
        (Ok(year @ 1..=9999), Ok(month), Ok(day)) => Ok(rcgen::date_time_ymd(year, month, day)),
        _ => Err(KeySetError::Clock),
    };
    let (year, month, day) = today;
    // 29 February need not come again in that year.
    let last = if month == 2 { day.min(28) } else { day };
    params.not_before = date(today)?;
    params.not_after = date((year + years, month, last))?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    Ok(params)
}

fn write_file(path: &Path, text: &str, secret: bool) -> io::Result<()> {
    if let Some(parent) = path.parent().filter(|p| !p.exists()) {
        fs::create_dir(parent)?;
    }
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(if secret { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = secret;
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// A temporary directory is its owner's alone; the public files in this one are for others too.
fn open_directory(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use mirrorlab_protocol::certificate::Certificate;
    use mirrorlab_protocol::keys::PublicKey;

    const NOW: i64 = 1_795_305_600;

    fn listing(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|e| e.unwrap().file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn what_is_written_fits_together() {
        let home = tempfile::tempdir().unwrap();
        let dir = home.path().join("keys");
        let set = KeySet::generate(NOW, &["mirror.example".into()]).unwrap();
        set.write(&dir).unwrap();
        assert_eq!(listing(home.path()), ["keys"], "nothing beside it");
        let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap();

        let certificate = Certificate::from_bytes(text(SUPEROFFICE_CERTIFICATE).as_bytes()).unwrap();
        let signer = PrivateKey::from_text(&text(SUPEROFFICE_KEY)).unwrap();
        assert!(certificate.key().verifies(b"x", &signer.sign(b"x")));
        assert_eq!(certificate.key().bits(), 2048);

        let application = PrivateKey::from_text(&text(APPLICATION_KEY_XML))
            .unwrap()
            .public();
        assert_eq!(
            PrivateKey::from_text(&text(APPLICATION_KEY_PEM))
                .unwrap()
                .public(),
            application
        );
        for name in [APPLICATION_PUBLIC_XML, APPLICATION_PUBLIC_PEM] {
            assert_eq!(PublicKey::from_text(&text(name)).unwrap(), application, "{name}");
            assert!(
                PrivateKey::from_text(&text(name)).is_err(),
                "{name} holds no secret"
            );
        }
        insta::assert_snapshot!(text(NOTE));

        #[cfg(unix)]
        for entry in listing(&dir) {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(dir.join(&entry)).unwrap().permissions().mode() & 0o777;
            let open = match entry.contains("private") {
                true => 0o600,
                false if entry == TRUST_DIRECTORY => 0o755,
                false => 0o644,
            };
            assert_eq!(mode, open, "{entry}");
        }

        let refused = set.write(&dir).unwrap_err().to_string();
        assert!(refused.contains("is not empty"), "{refused}");
        assert_eq!(listing(home.path()), ["keys"]);

        let empty = home.path().join("empty");
        fs::create_dir(&empty).unwrap();
        set.write(&empty).unwrap();
        assert_eq!(listing(&empty), listing(&dir));

        let file = home.path().join("file");
        fs::write(&file, "").unwrap();
        assert!(matches!(set.write(&file), Err(KeySetError::NotADirectory(_))));
        assert!(matches!(
            set.write(&home.path().join("a/b")),
            Err(KeySetError::NoParent { .. })
        ));
        assert_eq!(listing(home.path()), ["empty", "file", "keys"]);
    }

    /// The day after the certificates were made.
    #[derive(Debug)]
    struct Fixed;

    impl rustls::time_provider::TimeProvider for Fixed {
        fn current_time(&self) -> Option<rustls::pki_types::UnixTime> {
            let seconds = std::time::Duration::from_secs(NOW as u64 + 86_400);
            Some(rustls::pki_types::UnixTime::since_unix_epoch(seconds))
        }
    }

    /// A TLS handshake in memory, with the CA alone trusted, for each name that the certificate is for.
    #[test]
    fn the_tls_certificate_serves_and_is_trusted() {
        use rustls::pki_types::pem::PemObject as _;
        use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
        let set = KeySet::generate(NOW, &["mirror.example".into()]).unwrap();
        let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes()).unwrap();
        let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate(&set.tls_certificate)],
                PrivateKeyDer::from_pem_slice(set.tls_key.as_bytes()).unwrap(),
            )
            .unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(certificate(&set.tls_ca)).unwrap();
        let client = rustls::ClientConfig::builder_with_details(provider, std::sync::Arc::new(Fixed))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (server, client) = (std::sync::Arc::new(server), std::sync::Arc::new(client));
        for (name, trusted) in [
            ("localhost", true),
            ("127.0.0.1", true),
            ("::1", true),
            ("mirror.example", true),
            ("other.example", false),
        ] {
            let mut one =
                rustls::ClientConnection::new(client.clone(), ServerName::try_from(name).unwrap()).unwrap();
            let mut other = rustls::ServerConnection::new(server.clone()).unwrap();
            let mut ended = Ok(());
            while ended.is_ok() && (one.is_handshaking() || other.is_handshaking()) {
                let mut wire = Vec::new();
                one.write_tls(&mut wire).unwrap();
                let _ = other
                    .read_tls(&mut wire.as_slice())
                    .and_then(|_| other.process_new_packets().map_err(io::Error::other));
                let mut wire = Vec::new();
                other.write_tls(&mut wire).unwrap();
                one.read_tls(&mut wire.as_slice()).unwrap();
                ended = one.process_new_packets().map(|_| ());
            }
            assert_eq!(ended.is_ok(), trusted, "{name}: {ended:?}");
        }
    }
}
