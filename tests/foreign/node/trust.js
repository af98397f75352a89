// Who calls, and the signature that answers.

import { X509Certificate, createPrivateKey, createSign, createVerify } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const CONTEXT = 'http://schemes.superoffice.net/identity/ctx';
const LEEWAY_SECONDS = 60;

/** The token is not one to trust; the text goes to the caller. */
export class Refused extends Error {}

function fromBase64Url(text) {
  if (!/^[A-Za-z0-9_-]*$/.test(text)) throw new Refused('the token is not a JWT: base64url expected');
  return Buffer.from(text, 'base64url');
}

function jsonObject(text) {
  let value = null;
  try {
    value = JSON.parse(fromBase64Url(text).toString('utf8'));
  } catch {
    // Told below.
  }
  if (value === null || typeof value !== 'object' || Array.isArray(value)) {
    throw new Refused('the token is not a JWT: a JSON object expected');
  }
  return value;
}

export class Trust {
  constructor(keys, applicationId) {
    this.audience = `spn:${applicationId}`;
    this.certificates = new Map();
    for (const file of readdirSync(join(keys, 'trust'))) {
      const certificate = new X509Certificate(readFileSync(join(keys, 'trust', file)));
      this.certificates.set(certificate.fingerprint.replaceAll(':', ''), certificate.publicKey);
    }
    this.key = createPrivateKey(readFileSync(join(keys, 'application-private-key.pem')));
  }

  /** The tenant and the nonce of a call. */
  admit(token) {
    const parts = (token ?? '').trim().split('.');
    if (parts.length !== 3) throw new Refused('SignedToken is missing, or not a JWT of three parts');
    const [header, claims] = [jsonObject(parts[0]), jsonObject(parts[1])];
    if (header.alg !== 'RS256') throw new Refused("the token's algorithm is not RS256");
    const signed = createVerify('RSA-SHA256').update(`${parts[0]}.${parts[1]}`);
    if (!signed.verify(this.certificate(header), fromBase64Url(parts[2]))) {
      throw new Refused("the token's signature is not SuperOffice's");
    }
    return this.judge(claims);
  }

  certificate(header) {
    let name = header.kid;
    if (typeof name !== 'string' && typeof header.x5t === 'string') name = fromBase64Url(header.x5t).toString('hex');
    const key = typeof name === 'string' ? this.certificates.get(name.toUpperCase()) : undefined;
    if (key === undefined) throw new Refused('the token names no certificate that is trusted here');
    return key;
  }

  judge(claims) {
    const now = Date.now() / 1000;
    const { nbf = now, exp } = claims;
    if (typeof nbf !== 'number' || nbf > now + LEEWAY_SECONDS) throw new Refused('the token is not valid yet');
    if (typeof exp !== 'number' || exp < now - LEEWAY_SECONDS) {
      throw new Refused('the token has expired, or does not say when it does');
    }
    if (claims.iss !== 'SuperOffice AS') throw new Refused("the token is not SuperOffice's");
    if (claims.aud !== this.audience) throw new Refused('the token is for another application');
    const tenants = new Set(['sub', CONTEXT].filter((name) => name in claims).map((name) => claims[name]));
    const [tenant] = tenants;
    if (tenants.size !== 1) throw new Refused('the token names no tenant, or two');
    if (typeof tenant !== 'string' || !/^[A-Za-z0-9_-]{1,64}$/.test(tenant)) {
      throw new Refused("the token's tenant is not a context id");
    }
    if (typeof claims.nonce !== 'string' || claims.nonce === '') throw new Refused('the token has no nonce');
    return { tenant, nonce: claims.nonce };
  }

  answer(nonce) {
    const minute = new Date().toISOString().slice(0, 16).replace(/[-T:]/g, '');
    const signature = createSign('RSA-SHA256').update(`${nonce}.${minute}`).sign(this.key, 'base64');
    return `${nonce}.${minute}.${signature}`;
  }
}
