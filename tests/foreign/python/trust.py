"""Who calls, and the signature that answers."""

import base64
import datetime
import hashlib
import hmac
import json
import re
import time

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

CONTEXT = "http://schemes.superoffice.net/identity/ctx"
LEEWAY_SECONDS = 60


class Refused(Exception):
    """The token is not one to trust; the text goes to the caller."""


def from_base64url(text):
    if not re.fullmatch(r"[A-Za-z0-9_-]*", text):
        raise Refused("the token is not a JWT: base64url expected")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise Refused("the token is not a JWT: base64url expected") from None


def json_object(text):
    try:
        value = json.loads(from_base64url(text))
    except ValueError:
        raise Refused("the token is not a JWT: JSON expected") from None
    if not isinstance(value, dict):
        raise Refused("the token is not a JWT: a JSON object expected")
    return value


class Trust:
    def __init__(self, keys, application_id):
        self.audience = f"spn:{application_id}"
        self.certificates = {}
        for path in sorted((keys / "trust").iterdir()):
            certificate = x509.load_pem_x509_certificate(path.read_bytes())
            thumbprint = hashlib.sha1(certificate.public_bytes(serialization.Encoding.DER)).hexdigest()
            self.certificates[thumbprint.upper()] = certificate.public_key()
        key = (keys / "application-private-key.pem").read_bytes()
        self.key = serialization.load_pem_private_key(key, password=None)

    def admit(self, token):
        """The tenant and the nonce of a call."""
        token = (token or "").strip()
        parts = token.split(".")
        if len(parts) != 3:
            raise Refused("SignedToken is missing, or not a JWT of three parts")
        header, claims = json_object(parts[0]), json_object(parts[1])
        if header.get("alg") != "RS256":
            raise Refused("the token's algorithm is not RS256")
        try:
            self.certificate(header).verify(
                from_base64url(parts[2]), f"{parts[0]}.{parts[1]}".encode(), padding.PKCS1v15(), hashes.SHA256()
            )
        except InvalidSignature:
            raise Refused("the token's signature is not SuperOffice's") from None
        return self.judge(claims)

    def certificate(self, header):
        name = header.get("kid")
        if not isinstance(name, str) and isinstance(header.get("x5t"), str):
            name = from_base64url(header["x5t"]).hex()
        key = self.certificates.get(name.upper()) if isinstance(name, str) else None
        if key is None:
            raise Refused("the token names no certificate that is trusted here")
        return key

    def judge(self, claims):
        def text(name):
            value = claims.get(name)
            return value if isinstance(value, str) else ""

        now = time.time()
        begin, end = claims.get("nbf", now), claims.get("exp")
        if not isinstance(begin, (int, float)) or begin > now + LEEWAY_SECONDS:
            raise Refused("the token is not valid yet")
        if not isinstance(end, (int, float)) or end < now - LEEWAY_SECONDS:
            raise Refused("the token has expired, or does not say when it does")
        if text("iss") != "SuperOffice AS":
            raise Refused("the token is not SuperOffice's")
        if not hmac.compare_digest(text("aud").encode(), self.audience.encode()):
            raise Refused("the token is for another application")
        tenants = {text(name) for name in ("sub", CONTEXT) if name in claims}
        if len(tenants) != 1:
            raise Refused("the token names no tenant, or two")
        tenant = tenants.pop()
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", tenant):
            raise Refused("the token's tenant is not a context id")
        if not text("nonce"):
            raise Refused("the token has no nonce")
        return tenant, text("nonce")

    def answer(self, nonce):
        minute = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%d%H%M")
        signature = self.key.sign(f"{nonce}.{minute}".encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{nonce}.{minute}.{base64.b64encode(signature).decode()}"
