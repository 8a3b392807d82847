package verify

import (
	"crypto/x509"
	"encoding/hex"
	"slices"
	"strings"
)

// What a trust file may list of each sort.
const (
	maxWitnesses    = 100
	maxCertificates = 50
	maxChains       = 20
	maxCertificate  = 16 << 10 // bytes of the DER
	// MaxChainID is the largest number of a chain: what every reader of JSON keeps exactly.
	MaxChainID = 1<<53 - 1
)

// TrustChain is a chain of Ethereum's kind and the registry on it that counts.
type TrustChain struct {
	ChainID  uint64 `json:"chain_id"` // what eth_chainId answers
	Registry string `json:"registry"` // address of the ProductionRegistry: 0x and 40 hexadecimal digits
}

// Outsiders are those beside the operator who may speak for a log's past.
type Outsiders struct {
	Witnesses    []string // as Trust has them
	Quorum       int
	Certificates []*x509.Certificate // of time-stamp servers, or of who certified them
	Chains       []TrustChain
}

// Admit puts others than the operator into the trust file.
func (t *Trust) Admit(o Outsiders) error {
	t.Witnesses = slices.Clone(o.Witnesses)
	if t.Witnesses == nil {
		t.Witnesses = []string{}
	}
	t.WitnessQuorum, t.Chains, t.TimestampCertificates = o.Quorum, slices.Clone(o.Chains), nil
	for _, c := range o.Certificates {
		t.TimestampCertificates = append(t.TimestampCertificates, encodeBase64(c.Raw))
	}
	return t.checkOutside()
}

// Outsiders returns those beside the operator whom the trust file names.
func (t Trust) Outsiders() (Outsiders, error) {
	list, err := t.certificates()
	return Outsiders{Witnesses: t.Witnesses, Quorum: t.WitnessQuorum, Certificates: list, Chains: t.Chains}, err
}

// And returns those of two trust files, each once: those of a log and of its successor are
// mostly the same.
func (o Outsiders) And(p Outsiders) Outsiders {
	o.Quorum = max(o.Quorum, p.Quorum)
	o.Witnesses, o.Certificates, o.Chains = slices.Clone(o.Witnesses), slices.Clone(o.Certificates), slices.Clone(o.Chains)
	for _, w := range p.Witnesses {
		if !slices.Contains(o.Witnesses, w) {
			o.Witnesses = append(o.Witnesses, w)
		}
	}
	for _, c := range p.Certificates {
		if !slices.ContainsFunc(o.Certificates, c.Equal) {
			o.Certificates = append(o.Certificates, c)
		}
	}
	for _, c := range p.Chains {
		if !slices.ContainsFunc(o.Chains, func(d TrustChain) bool { return sameRegistry(d, c.ChainID, c.Registry) }) {
			o.Chains = append(o.Chains, c)
		}
	}
	return o
}

// checkOutside refuses what could not be used when it is needed: a witness that cannot be
// read would be one fewer without a word.
func (t *Trust) checkOutside() error {
	if _, err := t.witnesses(); err != nil {
		return err
	}
	if t.WitnessQuorum < 0 || t.WitnessQuorum > len(t.Witnesses) {
		return refuse("witness_quorum", "is %d of %d witnesses", t.WitnessQuorum, len(t.Witnesses))
	}
	if _, err := t.certificates(); err != nil {
		return err
	}
	if len(t.Chains) > maxChains {
		return refuse("chains", "a trust file has at most %d, not %d", maxChains, len(t.Chains))
	}
	for i, c := range t.Chains {
		if c.ChainID == 0 || c.ChainID > MaxChainID {
			return refuse("chains", "%d is not the number of a chain", c.ChainID)
		}
		if _, ok := parseAddress(c.Registry); !ok {
			return refuse("chains", "%s is not an address: 0x and 40 hexadecimal digits", quote(c.Registry))
		}
		if slices.ContainsFunc(t.Chains[:i], func(d TrustChain) bool { return sameRegistry(c, d.ChainID, d.Registry) }) {
			return refuse("chains", "the registry %s stands there twice", c.Registry)
		}
	}
	return nil
}

// witnesses reads the keys of the witnesses. Neither a name nor a key may stand there twice:
// one witness would count as two.
func (t *Trust) witnesses() ([]*WitnessKey, error) {
	if len(t.Witnesses) > maxWitnesses {
		return nil, refuse("witnesses", "a trust file has at most %d, not %d", maxWitnesses, len(t.Witnesses))
	}
	keys := make([]*WitnessKey, 0, len(t.Witnesses))
	for _, text := range t.Witnesses {
		k, err := ParseWitnessKey(text)
		if err != nil {
			return nil, err
		}
		if k.Name() == t.Origin {
			return nil, refuse("witnesses", "%s has the name of the log itself", quote(k.Name()))
		}
		if slices.ContainsFunc(keys, func(o *WitnessKey) bool { return o.name == k.name || o.pub.Equal(k.pub) }) {
			return nil, refuse("witnesses", "%s stands there twice", quote(k.Name()))
		}
		if slices.ContainsFunc(t.Keys, func(o TrustKey) bool { return o.isEd25519(k.pub) }) {
			return nil, refuse("witnesses", "%s has a key of the log itself", quote(k.Name()))
		}
		keys = append(keys, k)
	}
	return keys, nil
}

func (k *TrustKey) isEd25519(pub []byte) bool {
	der, ok := decodeBase64(k.PublicKey)
	// The last 32 bytes of the DER of such a key are the key.
	return ok && k.Algorithm == Ed25519 && strings.HasSuffix(string(der), string(pub))
}

func (t *Trust) certificates() ([]*x509.Certificate, error) {
	if len(t.TimestampCertificates) > maxCertificates {
		return nil, refuse("timestamp_certificates", "a trust file has at most %d, not %d", maxCertificates, len(t.TimestampCertificates))
	}
	list := make([]*x509.Certificate, 0, len(t.TimestampCertificates))
	for i, text := range t.TimestampCertificates {
		der, ok := decodeBase64(text)
		if !ok || len(der) > maxCertificate {
			return nil, refuse("timestamp_certificates", "certificate %d is not base64 of a DER certificate", i+1)
		}
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return nil, refuse("timestamp_certificates", "certificate %d cannot be read: %v", i+1, err)
		}
		if slices.ContainsFunc(list, c.Equal) {
			return nil, refuse("timestamp_certificates", "certificate %d stands there twice", i+1)
		}
		list = append(list, c)
	}
	return list, nil
}

// chain finds a registry among those that count.
func (t *Trust) chain(id uint64, registry string) (TrustChain, bool) {
	i := slices.IndexFunc(t.Chains, func(c TrustChain) bool { return sameRegistry(c, id, registry) })
	if i < 0 {
		return TrustChain{}, false
	}
	return t.Chains[i], true
}

func sameRegistry(c TrustChain, id uint64, registry string) bool {
	return c.ChainID == id && strings.EqualFold(c.Registry, registry)
}

// parseAddress reads an address in any case. Its checksum of capital letters is for people
// who type; here addresses are only compared.
func parseAddress(s string) (a [20]byte, ok bool) {
	text, ok := strings.CutPrefix(s, "0x")
	if !ok || len(text) != 40 {
		return a, false
	}
	_, err := hex.Decode(a[:], []byte(text))
	return a, err == nil
}
