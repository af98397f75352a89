//! TLS as TDS does it: agreed on in a PRELOGIN packet, shaken hands on inside PRELOGIN packets, and plain TLS from there.
//!
//! The driver is built without TLS of its own (it would bring a second crypto library). So the PRELOGIN that asks for
//! encryption is sent here; the driver then gets a stream in which that is settled: its own PRELOGIN is swallowed, and the
//! server's answer is handed to it with "encryption: not supported" in it, since what it writes is encrypted already.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use rustls_platform_verifier::BuilderVerifierExt;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Length of a TDS packet's header.
const HEADER_BYTES: usize = 8;
const PRELOGIN: u8 = 0x12;
const END_OF_MESSAGE: u8 = 0x01;
/// The largest packet before the login has agreed on another size.
const PACKET_BYTES_MAX: usize = 4096;
const ENCRYPTION: u8 = 0x01;
const TERMINATOR: u8 = 0xff;

/// Values of PRELOGIN's option ENCRYPTION.
const ENCRYPT_ON: u8 = 1;
const ENCRYPT_NOT_SUPPORTED: u8 = 2;
const ENCRYPT_REQUIRED: u8 = 3;

/// Why no tunnel could be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum TunnelError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error(
        "the server does not offer encryption; `encrypt=false` goes without it, the password readable on the network"
    )]
    NotOffered,
    #[error("what answers there does not speak SQL Server's protocol")]
    NotTds,
    #[error(
        "the server's certificate is not trusted: {0}; `trust-server-certificate=true` takes any certificate"
    )]
    Certificate(rustls::Error),
    #[error("no TLS connection: {0}")]
    Tls(String),
}

/// A connection to a server, encrypted or not.
pub(super) enum Tunnel {
    Plain(TcpStream),
    Tls(Box<Settled>),
}

impl Tunnel {
    /// Agrees on encryption and shakes hands.
    pub(super) async fn encrypted(
        mut tcp: TcpStream,
        host: &str,
        trust_any: bool,
    ) -> Result<Tunnel, TunnelError> {
        tcp.write_all(&prelogin()).await?;
        let mut answer = read_message(&mut tcp).await?;
        match set_encryption(&mut answer, ENCRYPT_NOT_SUPPORTED) {
            Some(ENCRYPT_ON | ENCRYPT_REQUIRED) => {}
            Some(_) => return Err(TunnelError::NotOffered),
            None => return Err(TunnelError::NotTds),
        }
        let connector = TlsConnector::from(Arc::new(config(trust_any)?));
        let name = match ServerName::try_from(host.to_owned()) {
            Ok(name) => name,
            Err(_) => {
                return Err(TunnelError::Tls(format!(
                    "`{host}` is no name a certificate could have"
                )));
            }
        };
        let mut tls = connector
            .connect(name, Wrapped::new(tcp))
            .await
            .map_err(
                |error| match error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>()) {
                    Some(e @ rustls::Error::InvalidCertificate(_)) => TunnelError::Certificate(e.clone()),
                    Some(e) => TunnelError::Tls(e.to_string()),
                    None => TunnelError::Tls(error.to_string()),
                },
            )?;
        tls.get_mut().0.go_plain();
        Ok(Tunnel::Tls(Box::new(Settled {
            tls,
            header: Vec::with_capacity(HEADER_BYTES),
            to_swallow: None,
            answer,
        })))
    }
}

fn config(trust_any: bool) -> Result<ClientConfig, TunnelError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    // Inside PRELOGIN packets SQL Server shakes hands in TLS 1.2 (doc); 1.3 belongs to TDS 8.
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS12])
        .map_err(|e| TunnelError::Tls(e.to_string()))?;
    let builder = if trust_any {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(TrustAny))
    } else {
        builder
            .with_platform_verifier()
            .map_err(|e| TunnelError::Tls(e.to_string()))?
    };
    Ok(builder.with_no_client_auth())
}

/// Takes any certificate: for `trust-server-certificate=true`, as SQL Server's own self-signed ones need it. Those can be
/// of a form that the signature check cannot even read, and a check under a certificate that anyone could have made
/// would prove nothing.
#[derive(Debug)]
struct TrustAny;

impl ServerCertVerifier for TrustAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::ring::default_provider()
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A PRELOGIN that asks for encryption.
fn prelogin() -> Vec<u8> {
    // Version 0.0, encryption on, no instance name, thread 0, no MARS.
    let options: [(u8, &[u8]); 5] = [
        (0x00, &[0; 6]),
        (ENCRYPTION, &[ENCRYPT_ON]),
        (0x02, &[0]),
        (0x03, &[0; 4]),
        (0x04, &[0]),
    ];
    let mut at = options.len() * 5 + 1;
    let mut head = Vec::new();
    let mut data = Vec::new();
    for (token, value) in options {
        head.push(token);
        head.extend_from_slice(&(at as u16).to_be_bytes());
        head.extend_from_slice(&(value.len() as u16).to_be_bytes());
        data.extend_from_slice(value);
        at += value.len();
    }
    head.push(TERMINATOR);
    head.extend_from_slice(&data);
    packet(&head, true)
}

fn packet(payload: &[u8], last: bool) -> Vec<u8> {
    let length = (payload.len() + HEADER_BYTES) as u16;
    let mut out = vec![PRELOGIN, if last { END_OF_MESSAGE } else { 0 }];
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(payload);
    out
}

/// The length of the payload behind a packet's header, where it can be one.
fn payload_bytes(header: &[u8]) -> Option<usize> {
    usize::from(u16::from_be_bytes([header[2], header[3]])).checked_sub(HEADER_BYTES)
}

/// A message of one packet, with its header: a PRELOGIN's answer has no more.
async fn read_message(tcp: &mut TcpStream) -> Result<Vec<u8>, TunnelError> {
    let mut message = vec![0; HEADER_BYTES];
    tcp.read_exact(&mut message).await.map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => TunnelError::NotTds,
        _ => TunnelError::Io(e),
    })?;
    let length = payload_bytes(&message)
        .filter(|n| {
            *n <= PACKET_BYTES_MAX
                && matches!(message[0], 0x04 | PRELOGIN)
                && message[1] & END_OF_MESSAGE != 0
        })
        .ok_or(TunnelError::NotTds)?;
    message.resize(HEADER_BYTES + length, 0);
    tcp.read_exact(&mut message[HEADER_BYTES..]).await?;
    Ok(message)
}

/// Replaces the value of ENCRYPTION in a PRELOGIN's answer; what stood there.
fn set_encryption(message: &mut [u8], value: u8) -> Option<u8> {
    let payload = message.get_mut(HEADER_BYTES..)?;
    let mut at = 0;
    loop {
        let token = *payload.get(at)?;
        if token == TERMINATOR {
            return None;
        }
        let offset = usize::from(u16::from_be_bytes([*payload.get(at + 1)?, *payload.get(at + 2)?]));
        if token == ENCRYPTION {
            return Some(std::mem::replace(payload.get_mut(offset)?, value));
        }
        at += 5;
    }
}

/// The TCP stream under the TLS handshake: what is written goes out in PRELOGIN packets, and comes in so, until the
/// handshake is over.
pub(super) struct Wrapped {
    tcp: TcpStream,
    plain: bool,
    /// Bytes of the handshake not yet sent: from `sent` on, already in packets once `framed`.
    out: Vec<u8>,
    framed: bool,
    sent: usize,
    /// The header of the packet that is being read, and how much of its payload is still to come.
    header: Vec<u8>,
    payload_left: usize,
}

impl Wrapped {
    pub(super) fn new(tcp: TcpStream) -> Wrapped {
        Wrapped {
            tcp,
            plain: false,
            out: Vec::new(),
            framed: false,
            sent: 0,
            header: Vec::with_capacity(HEADER_BYTES),
            payload_left: 0,
        }
    }

    /// The handshake is over: nothing is in packets any more.
    pub(super) fn go_plain(&mut self) {
        self.plain = true;
    }
}

impl AsyncRead for Wrapped {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.plain {
            return Pin::new(&mut this.tcp).poll_read(cx, buf);
        }
        while this.payload_left == 0 {
            let mut rest = [0; HEADER_BYTES];
            let mut part = ReadBuf::new(&mut rest[this.header.len()..]);
            ready!(Pin::new(&mut this.tcp).poll_read(cx, &mut part))?;
            if part.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            this.header.extend_from_slice(part.filled());
            if this.header.len() == HEADER_BYTES {
                this.payload_left = payload_bytes(&this.header).ok_or_else(|| {
                    io::Error::new(io::ErrorKind::InvalidData, "a packet shorter than its header")
                })?;
                this.header.clear();
            }
        }
        let mut part = buf.take(this.payload_left);
        ready!(Pin::new(&mut this.tcp).poll_read(cx, &mut part))?;
        let count = part.filled().len();
        this.payload_left -= count;
        // `part` wrote into `buf`'s unfilled memory: it is initialised as far as it was filled.
        let filled = part.filled().to_vec();
        buf.put_slice(&filled);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wrapped {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.plain {
            return Pin::new(&mut this.tcp).poll_write(cx, data);
        }
        if this.framed {
            // The last flight is not out yet.
            ready!(Pin::new(&mut *this).poll_flush(cx))?;
        }
        this.out.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.framed && !this.out.is_empty() {
            let flight = std::mem::take(&mut this.out);
            let mut chunks = flight.chunks(PACKET_BYTES_MAX - HEADER_BYTES).peekable();
            while let Some(chunk) = chunks.next() {
                this.out
                    .extend_from_slice(&packet(chunk, chunks.peek().is_none()));
            }
            this.framed = true;
        }
        while this.sent < this.out.len() {
            let count = ready!(Pin::new(&mut this.tcp).poll_write(cx, &this.out[this.sent..]))?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            this.sent += count;
        }
        this.out.clear();
        this.sent = 0;
        this.framed = false;
        Pin::new(&mut this.tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

/// An encrypted stream for a driver that believes there is no encryption to agree on.
pub(super) struct Settled {
    tls: TlsStream<Wrapped>,
    /// The header of the driver's PRELOGIN, as far as it was written.
    header: Vec<u8>,
    /// How much of the driver's PRELOGIN is still to be swallowed, once its header is known.
    to_swallow: Option<usize>,
    /// What the driver reads first.
    answer: Vec<u8>,
}

impl Settled {
    /// How many of `data`'s bytes belong to the driver's PRELOGIN.
    fn swallow(&mut self, data: &[u8]) -> io::Result<usize> {
        let mut taken = 0;
        if self.to_swallow.is_none() {
            taken = (HEADER_BYTES - self.header.len()).min(data.len());
            self.header.extend_from_slice(&data[..taken]);
            if self.header.len() < HEADER_BYTES {
                return Ok(taken);
            }
            self.to_swallow = Some(
                payload_bytes(&self.header)
                    .filter(|_| self.header[0] == PRELOGIN)
                    .ok_or_else(|| {
                        io::Error::new(io::ErrorKind::InvalidData, "the driver sent no PRELOGIN first")
                    })?,
            );
        }
        if let Some(left) = &mut self.to_swallow {
            let more = (*left).min(data.len() - taken);
            *left -= more;
            taken += more;
        }
        Ok(taken)
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Tunnel::Plain(tcp) => Pin::new(tcp).poll_read(cx, buf),
            Tunnel::Tls(settled) => {
                if settled.answer.is_empty() {
                    return Pin::new(&mut settled.tls).poll_read(cx, buf);
                }
                let count = settled.answer.len().min(buf.remaining());
                buf.put_slice(&settled.answer[..count]);
                settled.answer.drain(..count);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Tunnel::Plain(tcp) => Pin::new(tcp).poll_write(cx, data),
            Tunnel::Tls(settled) => {
                if settled.to_swallow != Some(0) {
                    let taken = settled.swallow(data)?;
                    if taken > 0 {
                        return Poll::Ready(Ok(taken));
                    }
                }
                Pin::new(&mut settled.tls).poll_write(cx, data)
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Tunnel::Plain(tcp) => Pin::new(tcp).poll_flush(cx),
            Tunnel::Tls(settled) => Pin::new(&mut settled.tls).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Tunnel::Plain(tcp) => Pin::new(tcp).poll_shutdown(cx),
            Tunnel::Tls(settled) => Pin::new(&mut settled.tls).poll_shutdown(cx),
        }
    }
}
