package verify

import (
	"bytes"
	"crypto"
	"crypto/sha1" //nolint:gosec // only to find which certificate a token means, see signedBy
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"slices"
	"time"
)

// MaxTimestamp is the most bytes of a time-stamp response that are read: a token with a
// chain of certificates has about six thousand.
const (
	MaxTimestamp       = 64 << 10
	maxTokenCerts      = 10
	maxTokenAttributes = 30
)

// Object identifiers, with the documents that define them.
const (
	oidSignedData    = "1.2.840.113549.1.7.2"       // RFC 5652
	oidContentType   = "1.2.840.113549.1.9.3"       // RFC 5652
	oidMessageDigest = "1.2.840.113549.1.9.4"       // RFC 5652
	oidTSTInfo       = "1.2.840.113549.1.9.16.1.4"  // RFC 3161
	oidSigningCert   = "1.2.840.113549.1.9.16.2.12" // RFC 2634
	oidSigningCertV2 = "1.2.840.113549.1.9.16.2.47" // RFC 5035
	oidExtKeyUsage   = "2.5.29.37"                  // RFC 5280
	oidSHA256        = "2.16.840.1.101.3.4.2.1"     // RFC 5754, like the next two
	oidSHA384        = "2.16.840.1.101.3.4.2.2"
	oidSHA512        = "2.16.840.1.101.3.4.2.3"
	oidRSA           = "1.2.840.113549.1.1.1"  // RFC 3370; the hash is the digest's
	oidRSAWithSHA256 = "1.2.840.113549.1.1.11" // RFC 5754, like the next five
	oidRSAWithSHA384 = "1.2.840.113549.1.1.12"
	oidRSAWithSHA512 = "1.2.840.113549.1.1.13"
	oidECDSAWith256  = "1.2.840.10045.4.3.2"
	oidECDSAWith384  = "1.2.840.10045.4.3.3"
	oidECDSAWith512  = "1.2.840.10045.4.3.4"
	oidEd25519       = "1.3.101.112" // RFC 8419
)

// Timestamp is what a time-stamp server swore.
type Timestamp struct {
	At       time.Time     // by the server's clock
	Accuracy time.Duration // how far that may be off; 0 where the server does not say
	Serial   *big.Int      // of the token
	Nonce    *big.Int      // of the request; nil if it had none
	Policy   string        // object identifier of the server's rules, dotted
	Server   string        // subject of the certificate that signed
	Root     string        // subject of the trusted certificate that it leads to
}

// CheckTimestamp checks the response of a time-stamp server (RFC 3161) about a message: that
// it was granted, that the token is about these bytes, that one certificate for nothing but
// time stamps signed it, and that this certificate leads to one of those given and all were
// valid at the token's own time. Neither MD5 nor SHA-1 is accepted for anything that is signed.
//
// Whether a certificate was revoked is not looked at: no network is used.
func CheckTimestamp(response, message []byte, trusted []*x509.Certificate) (*Timestamp, error) {
	if len(response) > MaxTimestamp {
		return nil, refuse("timestamp", "has %d bytes, more than %d", len(response), MaxTimestamp)
	}
	token, err := grantedToken(response)
	if err != nil {
		return nil, err
	}
	s, err := readSigned(token)
	if err != nil {
		return nil, err
	}
	t, err := readInfo(s.content, message)
	if err != nil {
		return nil, err
	}
	cert, err := s.check(trusted)
	if err != nil {
		return nil, err
	}
	return t, t.leadsTo(cert, s.certs, trusted)
}

// CheckTimestamp is the function CheckTimestamp with the certificates of the trust file.
func (t Trust) CheckTimestamp(response, message []byte) (*Timestamp, error) {
	trusted, err := t.certificates()
	if err != nil {
		return nil, err
	}
	return CheckTimestamp(response, message, trusted)
}

// grantedToken takes the token out of a response (TimeStampResp).
func grantedToken(response []byte) (*der, error) {
	outer := &der{rest: response}
	resp := outer.sequence()
	status := resp.sequence()
	code := status.small()
	if resp.err == nil && status.err == nil && code > 1 {
		return nil, refuse("timestamp", "was not granted: the server answered with status %d", code)
	}
	if status.is(universal(asn1.TagSequence)) { // words to people
		status.next(universal(asn1.TagSequence), true)
	}
	resp.take(status)
	token := resp.sequence()
	kind := token.oid()
	body := token.inside(tagged(0))
	resp.take(token)
	outer.take(resp)
	if err := outer.end(); err != nil || code < 0 || kind != oidSignedData {
		return nil, refuse("timestamp", "is not the response of a time-stamp server")
	}
	return body, nil
}

// signedInfo is the signed part of a token (SignedData of RFC 5652) with its one signature.
type signedInfo struct {
	content    []byte // DER of the TSTInfo
	certs      []*x509.Certificate
	signer     []byte // DER of how the signature names its certificate
	hash       crypto.Hash
	attributes []byte // as they stand, [0] IMPLICIT
	algorithm  string
	signature  []byte
}

func readSigned(token *der) (*signedInfo, error) {
	sd := token.sequence()
	if v := sd.small(); sd.err == nil && (v < 1 || v > 5) {
		sd.err = errDER
	}
	sd.next(universal(asn1.TagSet), true) // digest algorithms, told again by the signature
	encap := sd.sequence()
	kind := encap.oid()
	inner := encap.inside(tagged(0))
	s := &signedInfo{content: inner.octets()}
	encap.take(inner)
	sd.take(encap)
	if sd.is(tagged(0)) {
		if err := s.readCertificates(sd.inside(tagged(0))); err != nil {
			return nil, err
		}
	}
	if sd.is(tagged(1)) { // revocation lists; nothing here uses them
		sd.next(tagged(1), true)
	}
	signers := sd.set()
	si := signers.sequence()
	s.readSigner(si)
	signers.take(si)
	sd.take(signers)
	token.take(sd)
	if err := token.end(); err != nil || kind != oidTSTInfo {
		return nil, refuse("timestamp", "holds no time-stamp token with one signature")
	}
	return s, nil
}

func (s *signedInfo) readCertificates(set *der) error {
	for set.err == nil && len(set.rest) > 0 {
		if len(s.certs) == maxTokenCerts {
			return refuse("timestamp", "carries more than %d certificates", maxTokenCerts)
		}
		c, err := x509.ParseCertificate(set.next(universal(asn1.TagSequence), true).FullBytes)
		if set.err != nil || err != nil {
			return refuse("timestamp", "carries a certificate that cannot be read")
		}
		s.certs = append(s.certs, c)
	}
	return set.err
}

// readSigner reads the SignerInfo.
func (s *signedInfo) readSigner(si *der) {
	version := si.small()
	if si.is(tagged(0)) { // subjectKeyIdentifier
		s.signer = si.next(tagged(0), false).FullBytes
	} else {
		s.signer = si.next(universal(asn1.TagSequence), true).FullBytes
	}
	s.hash = hashOf(si.algorithm())
	s.attributes = si.next(tagged(0), true).FullBytes
	s.algorithm = si.algorithm()
	s.signature = si.octets()
	if si.is(tagged(1)) { // unsigned attributes: nobody answers for them
		si.next(tagged(1), true)
	}
	if si.err == nil && version != 1 && version != 3 {
		si.err = errDER
	}
}

// hashOf returns the hash function of an identifier, 0 for one that is not accepted.
func hashOf(id string) crypto.Hash {
	switch {
	case id == oidSHA256:
		return crypto.SHA256
	case id == oidSHA384:
		return crypto.SHA384
	case id == oidSHA512:
		return crypto.SHA512
	}
	return 0
}

func hashed(h crypto.Hash, data []byte) []byte {
	switch h {
	case crypto.SHA256:
		sum := sha256.Sum256(data)
		return sum[:]
	case crypto.SHA384:
		sum := sha512.Sum384(data)
		return sum[:]
	case crypto.SHA512:
		sum := sha512.Sum512(data)
		return sum[:]
	}
	return nil
}

// readInfo reads what was sworn (TSTInfo) and compares it with the message.
func readInfo(content, message []byte) (*Timestamp, error) {
	outer := &der{rest: content}
	in := outer.sequence()
	t := &Timestamp{}
	version := in.small()
	policy := in.oid()
	imprint := in.sequence()
	hash := hashOf(imprint.algorithm())
	sworn := imprint.octets()
	in.take(imprint)
	in.into(asn1.TagInteger, &t.Serial, "")
	in.into(asn1.TagGeneralizedTime, &t.At, "generalized")
	if in.is(universal(asn1.TagSequence)) {
		a := in.sequence()
		t.Accuracy = a.accuracy()
		in.take(a)
	}
	if in.is(universal(asn1.TagBoolean)) { // ordering
		in.next(universal(asn1.TagBoolean), false)
	}
	if in.is(universal(asn1.TagInteger)) {
		in.into(asn1.TagInteger, &t.Nonce, "")
	}
	if in.is(tagged(0)) { // the server's name, which its certificate tells
		in.next(tagged(0), true)
	}
	critical := false
	if in.is(tagged(1)) {
		list := in.inside(tagged(1))
		critical = list.critical()
		in.take(list)
	}
	outer.take(in)
	if err := outer.end(); err != nil || version != 1 {
		return nil, refuse("timestamp", "holds nothing that says a time")
	}
	switch {
	case critical:
		return nil, refuse("timestamp", "has a critical extension that is not known")
	case hash == 0:
		return nil, refuse("timestamp", "is over a hash that is not SHA-256, SHA-384 or SHA-512")
	case !bytes.Equal(sworn, hashed(hash, message)):
		return nil, refuse("timestamp", "is over other bytes than these")
	}
	t.At, t.Policy = t.At.UTC(), policy
	return t, nil
}

// accuracy reads seconds, [0] thousandths and [1] millionths, each of which may be missing.
func (d *der) accuracy() (sum time.Duration) {
	if d.is(universal(asn1.TagInteger)) {
		sum = time.Duration(min(max(d.small(), 0), 1<<20)) * time.Second
	}
	for tag, unit := range []time.Duration{time.Millisecond, time.Microsecond} {
		if !d.is(tagged(tag)) {
			continue
		}
		n := time.Duration(0)
		for _, b := range d.next(tagged(tag), false).Bytes {
			n = (n<<8 | time.Duration(b)) & 0xffff // 1 to 999
		}
		sum += n * unit
	}
	return sum
}

// critical reports whether one of a list of extensions must be understood.
func (d *der) critical() (found bool) {
	for d.err == nil && len(d.rest) > 0 {
		x := d.sequence()
		x.oid()
		if x.is(universal(asn1.TagBoolean)) {
			var c bool
			x.into(asn1.TagBoolean, &c, "")
			found = found || c
		}
		x.octets()
		d.take(x)
	}
	return found
}

// check checks the signature and returns the certificate that made it.
func (s *signedInfo) check(trusted []*x509.Certificate) (*x509.Certificate, error) {
	if s.hash == 0 {
		return nil, refuse("timestamp", "is signed over a hash that is not SHA-256, SHA-384 or SHA-512")
	}
	algorithm := signatureOf(s.algorithm, s.hash)
	if algorithm == x509.UnknownSignatureAlgorithm {
		return nil, refuse("timestamp", "is signed by the algorithm %s with %s, which is not accepted", s.algorithm, s.hash)
	}
	a, err := readAttributes(s.attributes)
	if err != nil {
		return nil, err
	}
	if a.contentType != oidTSTInfo || !bytes.Equal(a.digest, hashed(s.hash, s.content)) {
		return nil, refuse("timestamp", "is signed over another content than it shows")
	}
	known := slices.Concat(s.certs, trusted) // a token need not carry what everybody has
	i := slices.IndexFunc(known, a.means)
	if i < 0 || !s.named(known[i]) {
		return nil, refuse("timestamp", "does not carry the certificate that it says has signed it")
	}
	// What is signed is a SET OF, which stands in the token under another tag.
	signed := bytes.Clone(s.attributes)
	signed[0] = 0x31
	if err := known[i].CheckSignature(algorithm, signed, s.signature); err != nil {
		return nil, refuse("timestamp", "has a wrong signature")
	}
	return known[i], nil
}

// signatureOf returns the algorithm of a signature whose hash must be that of the digest.
func signatureOf(id string, hash crypto.Hash) x509.SignatureAlgorithm {
	rsa := map[crypto.Hash]x509.SignatureAlgorithm{crypto.SHA256: x509.SHA256WithRSA, crypto.SHA384: x509.SHA384WithRSA, crypto.SHA512: x509.SHA512WithRSA}
	switch {
	case id == oidRSA,
		id == oidRSAWithSHA256 && hash == crypto.SHA256,
		id == oidRSAWithSHA384 && hash == crypto.SHA384,
		id == oidRSAWithSHA512 && hash == crypto.SHA512:
		return rsa[hash]
	case id == oidECDSAWith256 && hash == crypto.SHA256:
		return x509.ECDSAWithSHA256
	case id == oidECDSAWith384 && hash == crypto.SHA384:
		return x509.ECDSAWithSHA384
	case id == oidECDSAWith512 && hash == crypto.SHA512:
		return x509.ECDSAWithSHA512
	case id == oidEd25519 && hash == crypto.SHA512:
		return x509.PureEd25519
	}
	return x509.UnknownSignatureAlgorithm
}

// tokenAttributes are the signed attributes that are looked at.
type tokenAttributes struct {
	contentType string
	digest      []byte
	certificate []byte      // digest of the certificate that signed
	hash        crypto.Hash // of that digest; SHA1 by the older attribute
}

// means reports whether the attribute is about a certificate. The older attribute names it
// by its SHA-1. That is enough to tell which of the token's certificates is meant: who
// could make another one of that digest would still need an authority to sign it.
func (a *tokenAttributes) means(c *x509.Certificate) bool {
	if a.hash == crypto.SHA1 {
		sum := sha1.Sum(c.Raw) //nolint:gosec // see above
		return bytes.Equal(a.certificate, sum[:])
	}
	return bytes.Equal(a.certificate, hashed(a.hash, c.Raw))
}

func readAttributes(text []byte) (*tokenAttributes, error) {
	outer := &der{rest: text}
	set := outer.inside(tagged(0))
	a := &tokenAttributes{}
	var seen []string
	for set.err == nil && len(set.rest) > 0 && len(seen) < maxTokenAttributes {
		one := set.sequence()
		id := one.oid()
		values := one.set()
		switch {
		case slices.Contains(seen, id):
			values.err = errDER // two contents, or two certificates
		case id == oidContentType:
			a.contentType = values.oid()
		case id == oidMessageDigest:
			a.digest = values.octets()
		case id == oidSigningCertV2:
			a.readCertificate(values, crypto.SHA256)
		case id == oidSigningCert && a.hash == 0:
			a.readCertificate(values, crypto.SHA1)
		default:
			values.rest = nil // nothing that is relied on
		}
		seen = append(seen, id)
		one.take(values)
		set.take(one)
	}
	outer.take(set)
	if err := outer.end(); err != nil || a.hash == 0 || a.contentType == "" {
		return nil, refuse("timestamp", "does not say, under its signature, what was signed with which certificate")
	}
	return a, nil
}

// readCertificate reads which certificate signed: the first of the list. The others and the
// policies behind them would only narrow down what is checked anyhow.
func (a *tokenAttributes) readCertificate(values *der, hash crypto.Hash) {
	attr := values.sequence()
	list := attr.sequence()
	first := list.sequence()
	if hash != crypto.SHA1 && first.is(universal(asn1.TagSequence)) {
		hash = hashOf(first.algorithm())
	}
	a.certificate, a.hash = first.octets(), hash
	first.rest = nil // issuer and serial number, which the signature tells too
	list.take(first)
	list.rest, attr.rest = nil, nil
	attr.take(list)
	values.take(attr)
}

// named reports whether the signature names a certificate, by issuer and serial number or by
// the identifier of its key.
func (s *signedInfo) named(c *x509.Certificate) bool {
	d := &der{rest: s.signer}
	if d.is(tagged(0)) {
		id := d.next(tagged(0), false).Bytes
		return len(id) > 0 && bytes.Equal(id, c.SubjectKeyId)
	}
	in := d.sequence()
	issuer := in.next(universal(asn1.TagSequence), true).FullBytes
	var serial *big.Int
	in.into(asn1.TagInteger, &serial, "")
	d.take(in)
	return d.end() == nil && bytes.Equal(issuer, c.RawIssuer) && serial.Cmp(c.SerialNumber) == 0
}

// leadsTo checks that a certificate is for time stamps alone, and leads to a trusted one, all
// of them valid when the token was made. What became of them since does not matter.
func (t *Timestamp) leadsTo(cert *x509.Certificate, carried, trusted []*x509.Certificate) error {
	if len(trusted) == 0 {
		return refuse("timestamp", "cannot be checked: the trust file names no certificate of a time-stamp server")
	}
	critical := slices.ContainsFunc(cert.Extensions, func(x pkix.Extension) bool { return x.Critical && x.Id.String() == oidExtKeyUsage })
	if !critical || len(cert.UnknownExtKeyUsage) > 0 || !slices.Equal(cert.ExtKeyUsage, []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}) {
		return refuse("timestamp", "is signed with a certificate that is not for time stamps alone")
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range trusted {
		roots.AddCert(c)
	}
	for _, c := range carried {
		between.AddCert(c)
	}
	chains, err := cert.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: t.At, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping}})
	if err != nil {
		return refuse("timestamp", "is signed with a certificate that leads to none of the trust file at %s: %v", t.At.Format(time.RFC3339), err)
	}
	last := chains[0][len(chains[0])-1]
	t.Server, t.Root = cert.Subject.String(), last.Subject.String()
	return nil
}
