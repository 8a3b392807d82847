// Checks a product passport in the reader's own browser, with nothing but WebCrypto: the
// same checks, in the same order and as strict, as internal/verify makes them in Go. Both
// are held to the vectors in internal/verify/testdata/passport.
//
// The script comes from the server that issued the passport. Whoever does not trust that
// server does not trust its script either, and takes caos-verify; the page says so.
"use strict";
(() => {
  const enc = new TextEncoder();

  // ---- What can be wrong, in words ------------------------------------------------------

  class Refusal extends Error {
    constructor(says, values) { super(says); this.values = values || []; }
  }
  const refuse = (says, ...values) => { throw new Refusal(says, values); };
  const quote = s => JSON.stringify(String(s).length > 80 ? String(s).slice(0, 80) + "…" : String(s));

  // ---- Bytes ----------------------------------------------------------------------------

  const hex = b => Array.from(b, x => x.toString(16).padStart(2, "0")).join("");
  const sha256 = async b => new Uint8Array(await crypto.subtle.digest("SHA-256", b));
  const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
  const join = (...parts) => {
    const out = new Uint8Array(parts.reduce((n, p) => n + p.length, 0));
    let at = 0;
    for (const p of parts) { out.set(p, at); at += p.length; }
    return out;
  };
  const toBase64 = b => btoa(Array.from(b, x => String.fromCharCode(x)).join(""));
  // One byte string has one spelling: what is not written as toBase64 writes it is null.
  const fromBase64 = s => {
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(s) || s.length % 4) return null;
    const b = Uint8Array.from(atob(s), c => c.charCodeAt(0));
    return toBase64(b) === s ? b : null;
  };
  const utf8 = (what, b) => {
    try {
      return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(b);
    } catch { return refuse(`${what} is not valid UTF-8`); }
  };
  const digest = b => "SHA256:" + hex(b);
  const isDigest = s => /^SHA256:[0-9a-f]{64}$/.test(s);

  const alphabet58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
  const fromBase58 = s => {
    if (s.length > 128) return null; // the work grows with the square
    const zeros = /^1*/.exec(s)[0].length, out = []; // base 256, the least first
    for (const c of s.slice(zeros)) {
      let carry = alphabet58.indexOf(c);
      if (carry < 0) return null;
      for (let i = 0; i < out.length; i++) { carry += out[i] * 58; out[i] = carry & 255; carry >>= 8; }
      for (; carry > 0; carry >>= 8) out.push(carry & 255);
    }
    return Uint8Array.from([...Array(zeros).fill(0), ...out.reverse()]);
  };
  const toBase32 = b => {
    let bits = 0, n = 0, out = "";
    for (const x of b) {
      bits = bits << 8 | x; n += 8;
      for (; n >= 5; n -= 5) out += "abcdefghijklmnopqrstuvwxyz234567"[bits >> n - 5 & 31];
      bits &= (1 << n) - 1;
    }
    return n ? out + "abcdefghijklmnopqrstuvwxyz234567"[bits << 5 - n & 31] : out;
  };
  // A content identifier, version 1: raw bytes by SHA-256, in base32.
  const cidOf = sum => "b" + toBase32(join([0x01, 0x55, 0x12, 0x20], sum));

  // ---- JSON that cannot be read in two ways ---------------------------------------------

  // parse reads JSON and refuses what two readers could understand differently: repeated
  // keys, integers that a float64 cannot hold, halves of surrogate pairs, bytes that are
  // no UTF-8. JSON.parse lets all of them through. Where only whole numbers belong, whole
  // refuses those that are written with a fraction or an exponent.
  const parse = (what, bytes, most, whole = false) => {
    if (bytes.length > most) refuse(`${what} has ${bytes.length} bytes, more than ${most}`);
    const s = utf8(what, bytes);
    const odd = why => refuse(`${what} ${why}`);
    let at = 0;
    const space = () => { while (at < s.length && " \t\r\n".includes(s[at])) at++; };
    const string = () => {
      const from = at++;
      while (at < s.length && s[at] !== '"') at += s[at] === "\\" ? 2 : 1;
      if (at++ >= s.length) odd("is not JSON: a text does not end");
      let v;
      try { v = JSON.parse(s.slice(from, at)); } catch { odd("is not JSON: a text is malformed"); }
      if (/[\ud800-\udfff]/u.test(v)) odd("has half of a surrogate pair");
      return v;
    };
    const number = () => {
      const m = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;
      m.lastIndex = at;
      const t = m.exec(s)?.[0];
      if (t === undefined) odd(`is not JSON at character ${at + 1}`);
      at += t.length;
      const digits = /^-?\d+$/.test(t), v = Number(t);
      const most = 2 ** 53;
      if (whole && !digits) odd(`has the number ${quote(t)} where only whole ones belong`);
      if (!Number.isFinite(v) || (digits ? BigInt(t.replace("-", "")) > BigInt(most) : v >= most || v <= -most)) odd(`has the number ${quote(t)}, which not every reader understands as the same`);
      return v;
    };
    const value = depth => {
      if (depth > 64) odd("is nested too deeply");
      space();
      if (s[at] === '"') return string();
      if (s[at] === "{") {
        const o = Object.create(null);
        at++; space();
        if (s[at] === "}") { at++; return o; }
        for (;;) {
          space();
          if (s[at] !== '"') odd(`is not JSON at character ${at + 1}`);
          const k = string();
          if (k in o) odd(`repeats the key ${quote(k)}`);
          space();
          if (s[at++] !== ":") odd(`is not JSON at character ${at}`);
          o[k] = value(depth + 1);
          space();
          const c = s[at++];
          if (c === "}") return o;
          if (c !== ",") odd(`is not JSON at character ${at}`);
        }
      }
      if (s[at] === "[") {
        const l = [];
        at++; space();
        if (s[at] === "]") { at++; return l; }
        for (;;) {
          l.push(value(depth + 1));
          space();
          const c = s[at++];
          if (c === "]") return l;
          if (c !== ",") odd(`is not JSON at character ${at}`);
        }
      }
      for (const [word, v] of [["true", true], ["false", false], ["null", null]]) if (s.startsWith(word, at)) { at += word.length; return v; }
      return number();
    };
    const v = value(0);
    space();
    if (at < s.length) odd(`is not JSON at character ${at + 1}`);
    return v;
  };

  // canonical writes a value by RFC 8785, whose numbers, texts and order are those of
  // this very language.
  const canonical = v => {
    if (Array.isArray(v)) return "[" + v.map(canonical).join(",") + "]";
    if (v !== null && typeof v === "object") return "{" + Object.keys(v).sort().map(k => JSON.stringify(k) + ":" + canonical(v[k])).join(",") + "}";
    return JSON.stringify(v);
  };

  const isObject = v => v !== null && typeof v === "object" && !Array.isArray(v);
  // open marks a shape whose objects may have further members. It is no text, so that no
  // member can be called so.
  const open = Symbol("open");
  // shaped checks that a value is an object of known members: "text", "whole", "any",
  // "texts" (a list of texts), an inner shape; with a ? they may be left out, with open
  // there may be further ones. A key that differs in case alone is refused: another reader
  // would take it for the real one.
  const shaped = (what, v, fields) => {
    if (!isObject(v)) refuse(`${what} is not an object`);
    const names = Object.keys(fields).map(f => f.replace("?", ""));
    for (const k of Object.keys(v)) {
      if (names.includes(k)) continue;
      const near = names.find(f => new RegExp(`^${f}$`, "iu").test(k)); // by the simple folding of Unicode; names are letters
      if (near) refuse(`${what} has the key ${quote(k)}, which is spelled ${quote(near)}`);
      if (!fields[open]) refuse(`${what} has the unknown key ${quote(k)}`);
    }
    for (const [name, kind] of Object.entries(fields)) {
      const k = name.replace("?", "");
      if (!Object.hasOwn(v, k)) {
        if (name === k) refuse(`${what} lacks ${quote(k)}`);
        continue;
      }
      const x = v[k];
      if (isObject(kind)) shaped(`${what}.${k}`, x, kind);
      else if (kind === "text" && typeof x !== "string") refuse(`${what}.${k} is not a text`);
      else if (kind === "whole" && !Number.isSafeInteger(x)) refuse(`${what}.${k} is not a whole number`);
      else if (kind === "texts" && !(Array.isArray(x) && x.every(t => typeof t === "string"))) refuse(`${what}.${k} is not a list of texts`);
      else if (kind === "leaf" && x !== null && !(Number.isSafeInteger(x) && x >= 0 && x <= maxTree)) refuse(`${what}.${k} is not a leaf`);
    }
    return v;
  };

  const plainID = s => /^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$/.test(s);
  const printable = (s, n) => s !== "" && enc.encode(s).length <= n && !/\p{Cc}/u.test(s);
  const calendar = s => {
    const [y, m, d] = s.split(/[-T]/, 3).map(Number), h = Number(s.slice(11, 13));
    return m >= 1 && m <= 12 && d >= 1 && d <= new Date(Date.UTC(2000 + y % 400, m, 0)).getUTCDate() && h < 24 && Number(s.slice(14, 16)) < 60 && Number(s.slice(17, 19)) < 60;
  };
  const plainTime = s => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/.test(s) && calendar(s);
  const isTime = s => /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)$/.test(s) && calendar(s) && !Number.isNaN(Date.parse(s));
  const maxClock = 10 * 60 * 1000; // milliseconds that two clocks may be apart

  // ---- Keys -----------------------------------------------------------------------------

  const verifyEd25519 = async (pub, sig, message) =>
    crypto.subtle.verify({ name: "Ed25519" }, await crypto.subtle.importKey("raw", pub, { name: "Ed25519" }, false, ["verify"]), sig, message);

  const parseDIDKey = did => {
    const raw = did.startsWith("did:key:z") ? fromBase58(did.slice(9)) : null;
    return raw && raw.length === 34 && raw[0] === 0xed && raw[1] === 0x01 ? raw.slice(2) : refuse(`${quote(did)} does not name an Ed25519 key`);
  };

  const maxTree = 2 ** 48;
  const spki = { // what stands before the key's own bytes, and how many bytes follow
    "ed25519": [Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00), 32],
    "x25519": [Uint8Array.of(0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00), 32],
    "ecdsa-p256": [Uint8Array.of(0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00, 0x04), 64],
  };
  const algorithms = { checkpoint: "ed25519", evidence: "ed25519", passport: "ed25519", baseline: "ecdsa-p256", tls: "ecdsa-p256", encryption: "x25519" };
  const trustFields = { version: "whole", origin: "text", log_id: "text", keys: "any", witnesses: "texts",
    "witness_quorum?": "whole", "timestamp_certificates?": "texts", "chains?": "any" };
  const keyFields = { id: "text", purpose: "text", algorithm: "text", public_key: "text",
    active_from_leaf: "whole", active_until_leaf: "leaf", compromised_at_leaf: "leaf" };

  const checkOrigin = s => { if (s === "" || enc.encode(s).length > 200 || /[\p{White_Space}\p{Cc}+]/u.test(s)) refuse(`${quote(s)} cannot be the name of a log`); };

  // A certificate is not read, but has to have the length that it states.
  const isCertificate = text => {
    const b = fromBase64(text) ?? [], wide = b[1] - 0x80; // bytes of the length, if that has more than one
    if (b[0] !== 0x30 || b.length > 16 << 10 || b.length < 4) return false;
    if (wide < 0) return b.length === 2 + b[1];
    return (wide === 1 || wide === 2) && b.length === 2 + wide + (wide === 1 ? b[2] : b[2] << 8 | b[3]);
  };

  const noteKeyID = async (name, algorithm, pub) => hex((await sha256(join(enc.encode(name + "\n"), [algorithm], pub))).slice(0, 4));

  // readOutsiders checks those beside the operator whom the trust file names. Witnesses are
  // used below; time stamps and chains are not looked at here, but a file with a part that
  // cannot be read is no trust file.
  const readOutsiders = async t => {
    const witnesses = [];
    if (t.witnesses.length > 100) refuse("a trust file names at most 100 witnesses");
    for (const text of t.witnesses) {
      const m = /^([^+]+)\+([0-9a-fA-F]{8})\+([A-Za-z0-9+/=]+)$/.exec(text), key = m && fromBase64(m[3]);
      if (!key || key.length !== 33 || key[0] !== 4) refuse(`${quote(text)} is not the key of a witness`);
      checkOrigin(m[1]);
      const w = { name: m[1], id: m[2].toLowerCase(), raw: key.slice(1) };
      if (w.id !== await noteKeyID(w.name, 4, w.raw)) refuse(`the digits of the witness ${quote(w.name)} are not those of its name and key`);
      if (w.name === t.origin) refuse(`the witness ${quote(w.name)} has the name of the log itself`);
      // One witness must not count as two, and the log not as a witness of itself.
      if (witnesses.some(o => o.name === w.name || same(o.raw, w.raw))) refuse(`the witness ${quote(w.name)} stands there twice`);
      if (t.keys.some(k => k.algorithm === "ed25519" && same(k.raw, w.raw))) refuse(`the witness ${quote(w.name)} has a key of the log itself`);
      witnesses.push(w);
    }
    const quorum = t.witness_quorum ?? 0;
    if (quorum < 0 || quorum > witnesses.length) refuse(`the trust file asks for ${quorum} of ${witnesses.length} witnesses`);
    const certificates = t.timestamp_certificates ?? [];
    if (certificates.length > 50 || !certificates.every(isCertificate) || new Set(certificates).size < certificates.length) refuse("the certificates of time-stamp servers are malformed");
    const chains = t.chains ?? [], seen = new Set();
    if (!Array.isArray(chains) || chains.length > 20) refuse("a trust file names at most 20 chains");
    for (const c of chains) {
      shaped("a chain of the trust file", c, { chain_id: "whole", registry: "text" });
      if (c.chain_id < 1 || !/^0x[0-9a-fA-F]{40}$/.test(c.registry)) refuse("a chain of the trust file is malformed");
      const registry = `${c.chain_id} ${c.registry.toLowerCase()}`;
      if (seen.has(registry)) refuse(`the registry ${c.registry} stands there twice`);
      seen.add(registry);
    }
    Object.assign(t, { witnesses, witness_quorum: quorum });
  };

  // readTrust reads a trust file and checks every key in it.
  const readTrust = async bytes => {
    const t = shaped("the trust file", parse("the trust file", bytes, 1 << 20, true), trustFields);
    if (t.version !== 1) refuse(`the trust file is of version ${t.version}, which is not known`);
    checkOrigin(t.origin);
    if (!plainID(t.log_id)) refuse(`${quote(t.log_id)} is not the id of a log`);
    if (!Array.isArray(t.keys) || t.keys.length < 1 || t.keys.length > 2000) refuse("a trust file has 1 to 2000 keys");
    const seen = new Set();
    for (const k of t.keys) {
      shaped("a key of the trust file", k, keyFields);
      const der = fromBase64(k.public_key);
      if (!Object.hasOwn(algorithms, k.purpose)) refuse(`the key ${quote(k.id)} has the unknown purpose ${quote(k.purpose)}`);
      if (k.algorithm !== algorithms[k.purpose]) refuse(`the key ${quote(k.id)} of purpose ${k.purpose} has the algorithm ${quote(k.algorithm)}`);
      const [head, size] = spki[k.algorithm];
      if (!der || der.length !== head.length + size || !same(der.slice(0, head.length), head)) refuse(`the public key of ${quote(k.id)} is not of ${k.algorithm}`);
      if (k.algorithm === "ecdsa-p256") { // a point that is not on the curve is no key
        try { await crypto.subtle.importKey("spki", der, { name: "ECDSA", namedCurve: "P-256" }, false, ["verify"]); } catch { refuse(`the public key of ${quote(k.id)} is not of ${k.algorithm}`); }
      }
      if (k.id !== `${k.purpose}-${hex((await sha256(der)).slice(0, 8))}`) refuse(`the id ${quote(k.id)} is not that of its public key`);
      const late = l => l !== null && l < k.active_from_leaf;
      if (k.active_from_leaf < 0 || k.active_from_leaf > maxTree || late(k.active_until_leaf) || late(k.compromised_at_leaf)) refuse(`the leaves of ${quote(k.id)} are out of order`);
      if (seen.has(k.id) || seen.has(k.public_key)) refuse(`the key ${quote(k.id)} stands there twice`);
      seen.add(k.id).add(k.public_key);
      k.raw = der.slice(head.length);
    }
    await readOutsiders(t);
    return t;
  };

  // counts says from which leaf to which a key counts, and refuses another.
  const counts = (k, leaf) => {
    if (leaf < k.active_from_leaf) refuse(`${k.id} was born at leaf ${k.active_from_leaf}, after leaf ${leaf}`);
    if (k.active_until_leaf !== null && leaf >= k.active_until_leaf) refuse(`${k.id} was retired at leaf ${k.active_until_leaf} and does not count at leaf ${leaf}`);
    if (k.compromised_at_leaf !== null && leaf >= k.compromised_at_leaf) refuse(`${k.id} was reported stolen at leaf ${k.compromised_at_leaf} and does not count at leaf ${leaf}`);
  };
  const uncompromised = k => { if (k.compromised_at_leaf !== null) refuse(`${k.id} was reported stolen; what it signed proves nothing without the leaf of its record`); };
  const passportKey = (trust, did) => {
    const pub = parseDIDKey(did), k = trust.keys.find(k => k.purpose === "passport" && same(k.raw, pub));
    return k || refuse("the key that signed is not a passport key of the trust file", ["signed by", did],
      ["passport keys of the trust file", trust.keys.filter(k => k.purpose === "passport").map(k => k.id).join(", ") || "none"]);
  };

  // ---- The signed credential: W3C Data Integrity, eddsa-jcs-2022 ------------------------

  const proofFields = { "@context?": "any", type: "text", cryptosuite: "text", "created?": "text", verificationMethod: "text", proofPurpose: "text", proofValue: "text" };
  const listOf = v => v === undefined ? [] : Array.isArray(v) ? v : [v];

  const checkSignature = async credential => {
    if (!("proof" in credential)) refuse("it has no proof");
    const p = shaped("the proof", credential.proof, proofFields);
    if (p.type !== "DataIntegrityProof" || p.cryptosuite !== "eddsa-jcs-2022") refuse(`a proof of type ${quote(p.type)} and suite ${quote(p.cryptosuite)} is not known`);
    if (p.proofPurpose !== "assertionMethod") refuse(`the purpose of the proof is ${quote(p.proofPurpose)}, not assertionMethod`);
    if (p.created !== undefined && !isTime(p.created)) refuse(`${quote(p.created)} is not a time`);
    const did = p.verificationMethod.split("#")[0], pub = parseDIDKey(did);
    if (p.verificationMethod !== did + "#" + did.slice(8)) refuse(`${quote(p.verificationMethod)} is not the key of a did:key`);
    const sig = p.proofValue.startsWith("z") ? fromBase58(p.proofValue.slice(1)) : null;
    if (!sig || sig.length !== 64) refuse("the value of the proof is not a signature of 64 bytes in base58btc");
    const { proof: _, ...document } = credential, { proofValue: __, ...options } = p;
    if (p["@context"] !== undefined) {
      if (canonical(listOf(p["@context"])) !== canonical(listOf(credential["@context"]))) refuse("the @context is not the one that was signed");
      document["@context"] = p["@context"];
    }
    const hashes = [await sha256(enc.encode(canonical(options))), await sha256(enc.encode(canonical(document)))];
    const values = [["signed by", did], ["SHA-256 of the proof's options", hex(hashes[0])], ["SHA-256 of the document", hex(hashes[1])], ["signature", p.proofValue]];
    if (!await verifyEd25519(pub, sig, join(...hashes))) refuse("the signature is not by this key over this document", ...values);
    return { did, values };
  };

  const subjectFields = { [open]: true, id: "text", passportId: "text", modelId: "text", modelVersion: "text", modelFamily: "text", safetyLevel: "text", lifecycleEvent: "text",
    occurrence: "whole", logOrigin: "text", artifactCount: "whole", documentCount: "whole", annexDigest: "text",
    "granularityLevel?": "text", "productionDate?": "text", "dppSchemaVersion?": "text",
    baseline: { [open]: true, baselineId: "text", freezeId: "text", rootDigest: "text", fileCount: "whole", byteCount: "whole", frozenAt: "text" } };
  const credentialFields = { [open]: true, "@context": "any", id: "text", type: "any", issuer: "any", validFrom: "text", "validUntil?": "text", credentialSubject: "any", "credentialStatus?": "any" };
  const issuerOf = v => typeof v === "string" ? v : shaped("the issuer", v, { [open]: true, id: "text" }).id;
  const hasType = (c, ...types) => listOf(c.type).every(t => typeof t === "string") && types.every(t => listOf(c.type).includes(t));
  const isAddress = s => enc.encode(s).length <= 500 && /^[hH][tT][tT][pP][sS]?:\/\/[^\p{White_Space}\p{Cc}\/?#@\\]+(\/[^\p{White_Space}\p{Cc}]*)?$/u.test(s);

  // readCredential checks what passports and status lists have in common: that it is one of a
  // type, by the key that it names, with as many contexts as those have, and valid by now.
  const readCredential = (what, c, { did, type, contexts, now }) => {
    shaped(what, c, credentialFields);
    const list = listOf(c["@context"]);
    if (list.length !== contexts || list[0] !== "https://www.w3.org/ns/credentials/v2" || !list.every(x => typeof x === "string")) refuse(`the @context is not that of ${what}`);
    if (!hasType(c, "VerifiableCredential", type)) refuse(`the type is not that of ${what}`);
    if (issuerOf(c.issuer) !== did) refuse(`the issuer of ${what} is not who signed it`, ["issuer", issuerOf(c.issuer)], ["signed by", did]);
    if (!isAddress(c.id)) refuse(`the id ${quote(c.id)} of ${what} is not an address`);
    if (!isTime(c.validFrom)) refuse(`validFrom ${quote(c.validFrom)} is not a time`);
    if (Date.parse(c.validFrom) - now > maxClock) refuse(`${what} is valid from a time that is still to come, by the clock of this device`, ["valid from", c.validFrom]);
  };

  // readPassport checks that what was signed is a passport.
  const readPassport = (c, did, now) => {
    readCredential("the passport", c, { did, type: "DigitalProductPassport", contexts: 2, now });
    if ("validUntil" in c && c.validUntil !== "") refuse("passports have no validUntil: what they state has happened");
    const s = shaped("credentialSubject", c.credentialSubject, subjectFields);
    if (!isDigest(s.annexDigest) || !isDigest(s.baseline.rootDigest)) refuse("a digest that it states is none");
    for (const f of ["passportId", "modelId", "modelVersion", "lifecycleEvent"]) if (!plainID(s[f])) refuse(`its ${f} ${quote(s[f])} is not an identifier`);
    if (!plainID(s.baseline.baselineId)) refuse(`its baselineId ${quote(s.baseline.baselineId)} is not an identifier`);
    for (const f of ["modelFamily", "safetyLevel", "logOrigin", "granularityLevel", "dppSchemaVersion"]) if ((s[f] ?? "") !== "" && !printable(s[f], 300)) refuse(`its ${f} is not a line of text`);
    if (!plainTime(s.baseline.frozenAt)) refuse(`${quote(s.baseline.frozenAt)} is not a time`);
    if ((s.productionDate ?? "") !== "" && s.productionDate !== s.baseline.frozenAt.slice(0, 10)) refuse(`its productionDate ${quote(s.productionDate)} is not the day on which the baseline was frozen`);
    return s;
  };

  // ---- The audit log --------------------------------------------------------------------

  const maxCheckpoint = 64 << 10, maxProof = maxCheckpoint + 2 * (16 << 10) + 128 * 48, maxProofFile = 2 * (maxProof + maxCheckpoint); // bytes
  const proofFileFields = { [open]: true, passport_id: "text", record_id: "text", record: "text", salt: "text", leaf: "text", index: "whole", proof: "text", checkpoint: "text" };

  const readLeaf = text => {
    const m = /^\{"commitment":"(SHA256:[0-9a-f]{64})","id":"([^"]*)","time":"([^"]*)","type":"([A-Z_]{1,32})","v":1\}$/.exec(text);
    if (!m || !plainID(m[2]) || !plainTime(m[3]) || text.length > 512) refuse(`${quote(text)} is not a leaf of the log`);
    return { commitment: m[1], id: m[2], time: m[3], type: m[4] };
  };

  const recordFields = { [open]: true, id: "text", "time?": "text", "type?": "text", details: { [open]: true, passport_id: "text", credential_digest: "text", annex_digest: "text", cid: "text" } };
  // checkRecord checks that the log's leaf commits to the record that was shown, and that
  // the record is about this passport.
  const checkRecord = async (proof, passport, sums) => {
    const leaf = readLeaf(proof.leaf), salt = fromBase64(proof.salt), text = enc.encode(proof.record);
    if (!salt || salt.length !== 32) refuse("the salt is not 32 bytes in base64");
    const made = digest(await sha256(join(salt, text)));
    const values = [["SHA-256 of salt and record", made], ["commitment in the leaf", leaf.commitment]];
    if (made !== leaf.commitment) refuse("the record is not the one that the leaf commits to", ...values);
    const r = shaped("the record", parse("the record", text, 8 << 20), recordFields);
    if (r.id !== leaf.id || r.type && r.type !== leaf.type || r.time && !sameTime(r.time, leaf.time)) {
      refuse("the record says another id, time or type than its leaf", ["record", `${r.id}, ${r.time}, ${r.type}`], ["leaf", `${leaf.id}, ${leaf.time}, ${leaf.type}`]);
    }
    if (proof.record_id !== leaf.id || proof.passport_id !== passport.passportId) refuse("the proof is of another record or passport", ["proof", `${proof.record_id} of ${proof.passport_id}`]);
    for (const [name, want] of [["passport_id", passport.passportId], ["credential_digest", sums.digest], ["annex_digest", passport.annexDigest], ["cid", sums.cid]]) {
      values.push([`${name} in the record`, r.details[name]]);
      if (r.details[name] !== want) refuse(`the record is about another passport: its ${name} differs`, ["record", r.details[name]], ["this passport", want]);
    }
    return { leaf, values: [...values, ["record", `${leaf.id}, ${leaf.time}`]] };
  };
  const sameTime = (a, b) => isTime(a) && a.replace(/0*Z$/, "Z").replace(".Z", "Z") === b.replace(/0*Z$/, "Z").replace(".Z", "Z");

  // readProof reads a c2sp.org/tlog-proof@v1.
  const readProof = text => {
    if (enc.encode(text).length > maxProof) refuse("the proof is too large");
    const cut = text.indexOf("\n\n");
    const lines = text.slice(0, Math.max(cut, 0)).split("\n");
    if (cut < 0 || lines.shift() !== "c2sp.org/tlog-proof@v1") refuse("it is not a c2sp.org/tlog-proof@v1");
    if (lines[0]?.startsWith("extra ")) {
      const extra = fromBase64(lines.shift().slice(6));
      if (!extra || extra.length > 16 << 10) refuse("the proof has a malformed extra line");
    }
    const index = /^index (0|[1-9]\d{0,14})$/.exec(lines.shift() ?? "");
    if (!index || Number(index[1]) > maxTree) refuse("the proof has no index where one belongs");
    if (lines.length > 128) refuse("the proof has more hashes than any tree needs");
    const hashes = lines.map((l, i) => {
      const h = fromBase64(l);
      return h && h.length === 32 ? h : refuse(`hash ${i + 1} of the proof is malformed`);
    });
    const checkpoint = text.slice(cut + 2);
    if (checkpoint === "") refuse("the proof has no checkpoint");
    return { index: Number(index[1]), hashes, checkpoint };
  };

  // readCheckpoint reads a signed note (c2sp.org/tlog-checkpoint) without its signatures.
  const readCheckpoint = async note => {
    if (enc.encode(note).length > maxCheckpoint) refuse("the checkpoint is too large");
    const cut = note.lastIndexOf("\n\n");
    if (cut < 0 || /[\u0000-\u0009\u000b-\u001f]/.test(note)) refuse("the checkpoint is not a signed note");
    const text = note.slice(0, cut + 1), lines = text.slice(0, -1).split("\n");
    if (lines.length < 3 || lines.includes("")) refuse("the checkpoint lacks a line");
    checkOrigin(lines[0]);
    const root = fromBase64(lines[2]);
    if (!/^(0|[1-9]\d{0,14})$/.test(lines[1]) || Number(lines[1]) > maxTree) refuse(`${quote(lines[1])} is not the size of a tree`);
    if (!root || root.length !== 32) refuse(`${quote(lines[2])} is not a root hash`);
    if (lines[1] === "0" && !same(root, await sha256(new Uint8Array()))) refuse("an empty tree has another root hash");
    const sigs = note.slice(cut + 2);
    if (!sigs.endsWith("\n")) refuse("the signatures of the checkpoint are malformed");
    const list = sigs.slice(0, -1).split("\n").map(l => {
      const m = /^\u2014 ([^ ]+) ([^ ]+)$/.exec(l), raw = m && fromBase64(m[2]);
      if (!raw || raw.length < 5 || /[\p{White_Space}+]/u.test(m[1])) refuse("a signature of the checkpoint is malformed");
      return { name: m[1], id: hex(raw.slice(0, 4)), sig: raw.slice(4) };
    });
    if (list.length > 100) refuse("the checkpoint has more than 100 signatures");
    return { origin: lines[0], size: Number(lines[1]), root, rootText: lines[2], text, sigs: list };
  };
  // checkCheckpoint checks that a checkpoint key of the trust file signed: one that was
  // active at the tree's last leaf and was never reported stolen.
  const checkCheckpoint = async (c, trust, logOrigin) => {
    const values = [["log", c.origin], ["leaves", String(c.size)], ["root hash", c.rootText]];
    if (c.origin !== trust.origin) refuse("the checkpoint is of another log than the trust file", ["checkpoint", c.origin], ["trust file", trust.origin]);
    if (c.origin !== logOrigin) refuse("the passport names another log", ["checkpoint", c.origin], ["passport", logOrigin]);
    const last = Math.max(c.size - 1, 0);
    let by = "", late = "";
    for (const k of trust.keys.filter(k => k.purpose === "checkpoint")) {
      const id = await noteKeyID(trust.origin, 1, k.raw), line = c.sigs.find(s => s.name === trust.origin && s.id === id);
      if (!line) continue;
      const active = last >= k.active_from_leaf && (k.active_until_leaf === null || last < k.active_until_leaf) && k.compromised_at_leaf === null;
      if (!active) { late = k.id; continue; }
      if (line.sig.length !== 64 || !await verifyEd25519(k.raw, line.sig, enc.encode(c.text))) refuse(`the signature of ${k.id} does not hold`, ...values);
      by ||= k.id;
    }
    if (!by && late) refuse(`the checkpoint is signed by ${late}, which does not count at ${c.size} leaves: it was not active yet, was retired or is stolen`, ...values);
    if (!by) refuse("no checkpoint key of the trust file signed", ...values, ["signed by", c.sigs.map(s => s.name).join(", ")]);
    return [...values, ["signed by", by]];
  };

  // checkInclusion recomputes the root from the leaf (RFC 9162, 2.1.3.2). Indices may have
  // more than 32 bits, so nothing here shifts.
  const checkInclusion = async (proof, leafText, c) => {
    const node = (a, b) => sha256(join([1], a, b));
    const leaf = await sha256(join([0], enc.encode(leafText)));
    const values = [["hash of the leaf", toBase64(leaf)], ["index", String(proof.index)], ["hashes on the way up", String(proof.hashes.length)], ["root in the checkpoint", c.rootText]];
    if (proof.index >= c.size) refuse(`index ${proof.index} is not in a tree of ${c.size} leaves`, ...values);
    let fn = proof.index, sn = c.size - 1, r = leaf;
    const half = n => Math.floor(n / 2);
    for (const p of proof.hashes) {
      if (sn === 0) refuse("the proof has hashes too many", ...values);
      if (fn % 2 === 1 || fn === sn) {
        r = await node(p, r);
        while (fn % 2 === 0 && fn !== 0) { fn = half(fn); sn = half(sn); }
      } else {
        r = await node(r, p);
      }
      fn = half(fn); sn = half(sn);
    }
    values.splice(3, 0, ["root computed", toBase64(r)]);
    if (sn !== 0 || !same(r, c.root)) refuse("the leaf is not at this index of the tree", ...values);
    return values;
  };

  // checkWitnesses counts the cosignatures (c2sp.org/tlog-cosignature, Ed25519) of the
  // witnesses that the trust file names.
  const checkWitnesses = async (c, trust) => {
    const found = [];
    for (const w of trust.witnesses) {
      const line = c.sigs.find(s => s.name === w.name && s.id === w.id);
      if (!line) continue;
      const time = line.sig.length === 72 ? new DataView(line.sig.buffer, line.sig.byteOffset).getBigUint64(0) : 0n;
      if (time === 0n || time >= 2n ** 40n || !await verifyEd25519(w.raw, line.sig.slice(8), enc.encode(`cosignature/v1\ntime ${time}\n${c.text}`))) refuse(`the cosignature of ${quote(w.name)} does not hold`);
      const at = new Date(Number(time) * 1000);
      found.push([w.name, Number.isNaN(at.getTime()) ? `cosigned at second ${time}` : `cosigned ${at.toISOString().replace(".000Z", "Z")}`]);
    }
    return found;
  };

  // ---- Revocation: W3C Bitstring Status List v1.0 ---------------------------------------

  const listFields = { [open]: true, "id?": "text", type: "text", statusPurpose: "text", encodedList: "text" };
  const entryFields = { "statusSize?": "whole", [open]: true, "id?": "text", type: "text", statusPurpose: "text", statusListIndex: "text", statusListCredential: "text" };
  const maxBits = 1 << 20; // bytes that a list may unpack to: eight million passports

  const statusEntry = c => {
    if (!("credentialStatus" in c)) return null;
    const e = shaped("credentialStatus", c.credentialStatus, entryFields);
    if (e.type !== "BitstringStatusListEntry" || e.statusPurpose !== "revocation") refuse(`a status of type ${quote(e.type)} for ${quote(e.statusPurpose)} is not known`);
    if (!/^(0|[1-9]\d{0,8})$/.test(e.statusListIndex) || Number(e.statusListIndex) >= maxBits * 8) refuse(`${quote(e.statusListIndex)} is not an index of a status list`);
    if ((e.statusSize ?? 1) !== 1) refuse("a status of more than one bit is not known");
    if (!isAddress(e.statusListCredential)) refuse(`${quote(e.statusListCredential)} is not the address of a status list`);
    return e;
  };

  const unzip = async bytes => {
    const out = [], read = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip")).getReader();
    let n = 0;
    try {
      for (;;) {
        const { done, value } = await read.read();
        if (done) break;
        if ((n += value.length) > maxBits) { await read.cancel(); return refuse("the list unpacks to more than it may"); }
        out.push(value);
      }
    } catch (e) { if (e instanceof Refusal) throw e; refuse("the list cannot be unpacked"); }
    // Not every browser minds what follows; the last bytes have to be the size.
    if (new DataView(bytes.buffer, bytes.byteOffset).getUint32(bytes.length - 4, true) !== n) refuse("the list goes on behind its end");
    return join(...out);
  };

  // revoked reads the bit of a passport in a signed status list.
  const revoked = async (entry, bytes, trust, did, now) => {
    const c = parse("the status list", bytes, 1 << 20);
    if (!isObject(c)) refuse("the status list is not an object");
    const by = (await checkSignature(c)).did;
    const k = passportKey(trust, by);
    uncompromised(k);
    // Nothing shows when a list was signed, and the key's successor signs them all anew.
    if (k.active_until_leaf !== null) refuse(`${k.id} was retired, and signs no status lists any more`);
    readCredential("the status list", c, { did: by, type: "BitstringStatusListCredential", contexts: 1, now });
    if (c.id !== entry.statusListCredential) refuse("this is another status list than the passport names", ["list", c.id], ["passport", entry.statusListCredential]);
    if (!isTime(c.validUntil ?? "") || Date.parse(c.validUntil) <= Date.parse(c.validFrom)) refuse("the status list does not say from when to when it counts");
    // An old list would hide what was revoked since.
    if (Date.parse(c.validUntil) < now) refuse("the status list is out of date", ["it counted until", c.validUntil]);
    const s = shaped("credentialSubject", c.credentialSubject, listFields);
    if (s.type !== "BitstringStatusList" || s.statusPurpose !== "revocation") refuse(`a list of type ${quote(s.type)} for ${quote(s.statusPurpose)} is not known`);
    if (!/^u[A-Za-z0-9_-]+$/.test(s.encodedList)) refuse("the list is not in base64url");
    const packed = s.encodedList.slice(1).replaceAll("-", "+").replaceAll("_", "/");
    const zipped = fromBase64(packed + "=".repeat((4 - packed.length % 4) % 4));
    if (!zipped) refuse("the list is not in base64url");
    const bits = await unzip(zipped), index = Number(entry.statusListIndex);
    if (bits.length * 8 < 131072) refuse("the list has fewer than 131,072 entries");
    if (index >= bits.length * 8) refuse(`the list has no entry ${index}`);
    return { set: (bits[index >> 3] & 0x80 >> (index & 7)) !== 0, from: c.validFrom,
      values: [["entry", `${index} of ${bits.length * 8}`], ["list made", c.validFrom], ["list signed by", k.id + (by === did ? ", as the passport" : "")]] };
  };

  // ---- All of it, in order --------------------------------------------------------------

  const names = {
    form: "Unambiguous text", signature: "Signature", content: "What was signed", digest: "Digest and content address", trust: "Trust file",
    key: "The key is known", record: "Record in the audit log", inclusion: "Place in the log", checkpoint: "Head of the log", witnesses: "Witnesses", status: "Revocation",
  };

  // verify checks the files of a passport, each a Uint8Array: credential, trust, and proof
  // and status, which may be null. expect may hold passport, digest and cid, which must be
  // those of the credential, and now, in milliseconds. tell is called
  // with each check as it is known: {id, name, state, says, values}, where state is "ok",
  // "bad" or "none" (not checked). The verdict is "verified", "incomplete" (something that
  // matters was not checked), "revoked" or "failed".
  const verify = async (files, expect = {}, tell = () => {}) => {
    const checks = [], got = {}, now = expect.now ?? Date.now();
    let gap = false;
    const check = async (id, needs, body) => {
      const c = { id, name: names[id], state: "ok", says: "", values: [] };
      const missing = needs.find(n => got[n] === undefined);
      try {
        if (missing) Object.assign(c, { state: "none", says: `Not checked, because “${names[missing] || missing}” ${checks.some(x => x.id === missing && x.state === "bad") ? "failed" : "is missing"}.` });
        else {
          const r = await body();
          Object.assign(c, { state: r.state || "ok", says: r.says, values: r.values || [] });
          if (r.gap) gap = true;
          if (c.state === "ok") got[id] = r.got ?? true;
        }
      } catch (e) {
        if (!(e instanceof Refusal)) throw e;
        Object.assign(c, { state: "bad", says: e.message[0].toUpperCase() + e.message.slice(1) + ".", values: e.values });
      }
      checks.push(c);
      await tell(c);
    };
    let set = false;

    await check("form", [], async () => {
      const c = parse("the passport", files.credential, 1 << 20);
      if (!isObject(c)) refuse("the passport is not an object");
      const text = enc.encode(canonical(c)), sum = await sha256(text);
      return { says: "The passport is strict JSON: no two readers can understand it differently.", got: { c, sum },
        values: [["bytes received", String(files.credential.length)], ["bytes in canonical form (RFC 8785)", String(text.length)], ["the two are the same", same(text, files.credential) ? "yes" : "no, the canonical form counts"]] };
    });
    await check("signature", ["form"], async () => {
      const { did, values } = await checkSignature(got.form.c);
      return { says: "Ed25519 by the did:key that the passport names (eddsa-jcs-2022). Not one character was changed since.", values, got: did };
    });
    await check("content", ["form", "signature"], async () => {
      const s = readPassport(got.form.c, got.signature, now);
      statusEntry(got.form.c);
      const values = [["passport", s.passportId], ["model", `${s.modelId} ${s.modelVersion}`], ["event", s.lifecycleEvent], ["root digest of the files", s.baseline.rootDigest]];
      if (expect.passport && s.passportId !== expect.passport) refuse("this is another passport than this page's", ["signed", s.passportId], ["this page", expect.passport]);
      return { says: "It is a product passport, complete, and issued by who signed it.", values, got: s };
    });
    await check("digest", ["form"], async () => {
      const d = { digest: digest(got.form.sum), cid: cidOf(got.form.sum) };
      const values = [["SHA-256, computed here", d.digest], ["CID, computed here", d.cid]];
      for (const [k, word] of [["digest", "SHA-256 that this page states"], ["cid", "CID that this page states"]]) {
        if (expect[k]) values.push([word, expect[k]]);
        if (expect[k] && expect[k] !== d[k]) refuse("the page states another digest than this passport has", ...values);
      }
      return { says: "SHA-256 and content identifier were computed from the bytes received.", values, got: d };
    });
    await check("trust", [], async () => {
      const t = await readTrust(files.trust);
      return { says: `It names the log ${t.origin} and ${t.keys.length === 1 ? "1 key" : `${t.keys.length} keys`}, each with the leaves from and to which it counts.`, got: t,
        values: [["log", t.origin], ["SHA-256 of the trust file", digest(await sha256(files.trust))], ["keys", t.keys.map(k => k.id).join(", ")]] };
    });

    // The log's record comes before the key: it says at which leaf the key has to count.
    if (files.proof) {
      await check("record", ["content", "digest"], async () => {
        const p = shaped("the proof", parse("the proof", files.proof, maxProofFile, true), proofFileFields);
        const { values } = await checkRecord(p, got.content, got.digest);
        return { says: "The audit log has a record with the digest of exactly this passport and of its annex.", values, got: p };
      });
      await check("checkpoint", ["record", "trust"], async () => {
        const p = readProof(got.record.proof);
        if (p.checkpoint !== got.record.checkpoint) refuse("the checkpoint is not the one of the proof");
        const c = await readCheckpoint(p.checkpoint);
        const values = await checkCheckpoint(c, got.trust, got.content.logOrigin);
        return { says: `A checkpoint key of the trust file signed the log's head, of ${c.size} leaves.`, values, got: { p, c } };
      });
      await check("inclusion", ["record", "checkpoint"], async () => {
        const { p, c } = got.checkpoint;
        if (p.index !== got.record.index) refuse("record and proof name different leaves", ["record", String(got.record.index)], ["proof", String(p.index)]);
        const values = await checkInclusion(p, got.record.leaf, c);
        return { says: `The record is leaf ${p.index} of that head (RFC 6962): nothing can be put in or taken out behind it unnoticed.`, values, got: p.index };
      });
      await check("witnesses", ["checkpoint"], async () => {
        const n = got.trust.witnesses.length;
        if (n === 0) return { state: "none", says: "The trust file names no witnesses, so none were looked for." };
        const found = await checkWitnesses(got.checkpoint.c, got.trust), quorum = got.trust.witness_quorum;
        const of = `${found.length} of ${n === 1 ? "1 witness" : `${n} witnesses`} cosigned this head`;
        if (found.length < quorum) return { state: "none", gap: true, says: `${of}, and the trust file asks for ${quorum}. Ask again once more of them have seen it.`, values: found };
        if (found.length === 0) return { state: "none", says: `None of the witnesses that the trust file names has cosigned this head; it does not ask that any does.` };
        return { says: `${of}${quorum ? `; the trust file asks for ${quorum}` : ""}: they saw the log grow into it.`, values: found };
      });
    } else {
      for (const id of ["record", "checkpoint", "inclusion", "witnesses"]) await check(id, [], async () => ({ state: "none", gap: true, says: "Not checked: there is no proof from the audit log." }));
    }
    await check("key", ["signature", "trust"], async () => {
      const k = passportKey(got.trust, got.signature);
      if (got.inclusion !== undefined) counts(k, got.inclusion); else uncompromised(k);
      const over = k.active_until_leaf !== null ? ` It was retired at leaf ${k.active_until_leaf}; what it signed before still counts.` : "";
      return { says: `The trust file has the key that signed${got.inclusion !== undefined ? `, and it counted at leaf ${got.inclusion}` : ""}.${over}`,
        values: [["signed by", got.signature], ["in the trust file", k.id], ["counts from leaf", String(k.active_from_leaf)], ["until leaf", k.active_until_leaf === null ? "active" : String(k.active_until_leaf)]] };
    });
    await check("status", ["content", "trust"], async () => {
      const entry = statusEntry(got.form.c);
      if (!entry) return { state: "none", says: "The passport names no status list; it was issued before there was one." };
      if (!files.status) return { state: "none", gap: true, says: "Not checked: the status list could not be had." };
      const r = await revoked(entry, files.status, got.trust, got.signature, now);
      set = r.set;
      if (r.set) refuse(`this passport was revoked, says the issuer's signed status list of ${r.from.slice(0, 19).replace("T", " ")} UTC`, ...r.values);
      return { says: `Not revoked, says the issuer's signed status list of ${r.from.slice(0, 19).replace("T", " ")} UTC.`, values: r.values };
    });

    const bad = checks.filter(c => c.state === "bad");
    const verdict = bad.length === 0 ? gap ? "incomplete" : "verified" : set && bad.length === 1 ? "revoked" : "failed";
    return { verdict, checks };
  };

  // able says why this browser cannot check, "" if it can.
  const able = async () => {
    if (!globalThis.isSecureContext) return "This page did not come over HTTPS, and browsers offer no cryptography to such pages. Open it by its https:// address, or use caos-verify.";
    if (!globalThis.crypto?.subtle || !globalThis.DecompressionStream) return "This browser offers no cryptography to pages (WebCrypto). Use a current one, or caos-verify.";
    try {
      await crypto.subtle.importKey("raw", new Uint8Array(32).fill(9, 0, 1), { name: "Ed25519" }, false, ["verify"]);
    } catch (e) {
      if (e.name === "NotSupportedError") return "This browser does not know Ed25519. Chrome and Edge from 137, Firefox from 129 and Safari from 17 do; or use caos-verify.";
    }
    return "";
  };

  // canonicalHash is for tests: the SHA-256 of a text's canonical form, "" for what has none.
  const canonicalHash = async bytes => {
    try { return hex(await sha256(enc.encode(canonical(parse("the text", bytes, 1 << 20))))); } catch (e) { if (e instanceof Refusal) return ""; throw e; }
  };

  globalThis.caosPassport = { verify, able, canonicalHash };

  // ---- The page -------------------------------------------------------------------------

  const byID = id => document.getElementById(id);
  const make = (tag, text, name) => {
    const e = document.createElement(tag);
    if (text !== undefined) e.textContent = text; // never markup: what is shown may be hostile
    if (name) e.className = name;
    return e;
  };
  const states = { ok: ["✓", "holds"], bad: ["✗", "fails"], none: ["–", "not checked"] };
  const drawCheck = c => {
    const li = make("li", undefined, c.state), [sign, word] = states[c.state];
    const mark = make("span", sign, "mark");
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", word);
    const body = make("div");
    body.append(make("strong", c.name), make("p", c.says));
    if (c.values.length) {
      const more = make("details"), dl = make("dl");
      more.append(make("summary", "What was compared"), dl);
      for (const [name, value] of c.values) {
        const row = make("div"), dd = make("dd");
        dd.append(make("code", value));
        row.append(make("dt", name), dd);
        dl.append(row);
      }
      body.append(more);
    }
    li.append(mark, body);
    return li;
  };

  const load = async (path, accept) => {
    let r;
    try { r = await fetch(path, { headers: { Accept: accept }, cache: "no-store", redirect: "error" }); } catch { return [null, `${path} could not be reached`]; }
    return r.ok ? [new Uint8Array(await r.arrayBuffer()), ""] : [null, `${path} answers ${r.status}`];
  };
  // statusPath is where this server has the list that the passport names. Whether the list
  // that comes is that one, verify checks.
  const statusPath = credential => {
    try {
      const path = new URL(JSON.parse(new TextDecoder().decode(credential)).credentialStatus.statusListCredential).pathname;
      return /^\/dpp\/status\/\d{1,9}$/.test(path) ? path : "";
    } catch { return ""; }
  };

  const plural = (n, one, many) => n === 1 ? `1 ${one}` : `${n} ${many}`;
  const words = {
    verified: n => ["Verified.", `${plural(n, "check holds", "checks hold")}, none fails.`],
    incomplete: n => ["Not complete.", `${plural(n, "check holds", "checks hold")} and none fails, but not everything could be checked: see below.`],
    revoked: () => ["Revoked.", "The passport is genuine, and its issuer has withdrawn it."],
    failed: (_, bad) => ["Do not rely on this passport.", `${plural(bad, "check fails", "checks fail")}.`],
  };

  const start = section => {
    const button = byID("check"), verdict = byID("verdict"), list = byID("checks"), file = byID("trust"), source = byID("source");
    const { passport, digest, cid } = section.dataset;
    let own = null; // the reader's trust file
    const say = (state, head, text) => {
      verdict.className = "state " + state;
      verdict.replaceChildren(make("strong", head), " " + text);
      verdict.hidden = false;
    };
    const run = async () => {
      button.disabled = true;
      list.replaceChildren();
      list.hidden = false;
      try {
        const why = await able();
        if (why) return say("bad", "This browser cannot check.", why);
        verdict.hidden = true;
        const began = performance.now();
        const [[credential, lost], [proof], [trust, untrusted]] = await Promise.all([load(`/dpp/${passport}/credential`, "application/vc"),
          load(`/dpp/${passport}/proof`, "application/json"), own ? [own.bytes, ""] : load(`/dpp/${passport}/trust`, "application/json")]);
        if (!credential || !trust) return say("bad", "Nothing was checked.", (lost || untrusted) + ".");
        const path = statusPath(credential), [status] = path ? await load(path, "application/vc") : [null];
        const { verdict: v, checks } = await verify({ credential, proof, trust, status }, { passport, digest, cid }, c => list.append(drawCheck(c)));
        const took = Math.max(1, Math.round(performance.now() - began));
        const [head, text] = words[v](checks.filter(c => c.state === "ok").length, checks.filter(c => c.state === "bad").length);
        say(v === "verified" ? "good" : v === "incomplete" ? "" : "bad", head, `${text} It took ${took} ms, in this browser.`);
        verdict.append(make("br"), own ? `The keys are those of your own file ${own.name}.`
          : "The keys are those that this server states itself. That everything fits together is shown; that the server is honest is not: choose the trust file that you got from the operator.");
        section.dataset.verdict = v;
      } catch (e) {
        say("bad", "The check broke off.", String(e.message || e));
      } finally {
        button.disabled = false;
      }
    };
    const take = async f => {
      if (!f) return;
      own = { name: f.name, bytes: new Uint8Array(await f.arrayBuffer()) };
      source.textContent = `Your file ${f.name} is used.`;
      await run();
    };
    button.addEventListener("click", run);
    file.addEventListener("change", () => take(file.files[0]));
    for (const event of ["dragover", "drop"]) section.addEventListener(event, e => { e.preventDefault(); section.classList.toggle("over", event === "dragover"); });
    section.addEventListener("dragleave", () => section.classList.remove("over"));
    section.addEventListener("drop", e => take(e.dataTransfer.files[0]));
    section.hidden = false;
    if (location.hash === "#verify") run();
  };
  const section = globalThis.document && byID("verify");
  if (section) start(section);
})();
