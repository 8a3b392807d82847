package app

import (
	"bytes"
	"context"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"

	"caos"
	"caos/internal/anchor"
	"caos/internal/location"
	"caos/internal/secret"
	"caos/internal/verify"
)

// outsiders are those beside the operator whom the trust file names: who holds it can check
// what they say of the log.
func (c Config) outsiders() (o verify.Outsiders, err error) {
	if c.Chain != nil && c.Chain.Registry != "" {
		o.Chains = []verify.TrustChain{{ChainID: c.Chain.ChainID, Registry: c.Chain.Registry}}
	}
	if c.Anchors == nil {
		return o, nil
	}
	s, err := c.anchorSettings()
	if err != nil {
		return o, err
	}
	o.Quorum = s.Quorum
	for _, w := range s.Witnesses {
		o.Witnesses = append(o.Witnesses, w.Key)
	}
	for _, t := range s.Timestamps {
		list, err := t.Certificates()
		if err != nil {
			return o, err
		}
		for _, one := range list {
			if !slices.ContainsFunc(o.Certificates, func(have *x509.Certificate) bool { return have.Equal(one) }) {
				o.Certificates = append(o.Certificates, one) // two servers of one authority
			}
		}
	}
	return o, nil
}

// Inspection says where this installation gives its checkpoints, for checks without a server.
// Buckets are read with the keys of getenv: whoever checks has keys of their own, and not the
// vault's.
func (c Config) Inspection(getenv func(string) string) (*anchor.Inspection, error) {
	i := &anchor.Inspection{}
	var err error
	if i.Outsiders, err = c.outsiders(); err != nil || c.Anchors == nil {
		return i, err
	}
	s, err := c.anchorSettings()
	if err != nil {
		return nil, err
	}
	i.Files, i.S3 = s.Files, s.S3
	for _, t := range s.Timestamps {
		i.Servers = append(i.Servers, t.URL)
	}
	keys := environmentKeys{getenv("AWS_ACCESS_KEY_ID"), getenv("AWS_SECRET_ACCESS_KEY")}
	anonymous := slices.ContainsFunc(c.S3, func(b location.Bucket) bool { return b.AccessKey == "" && b.SecretKey == "" })
	if s.S3 == "" || !anonymous && (keys.access == "" || keys.secret == "") {
		return i, nil
	}
	buckets := slices.Clone(c.S3)
	for n := range buckets {
		if buckets[n].AccessKey != "" {
			buckets[n].AccessKey, buckets[n].SecretKey = "vault:environment#access", "vault:environment#secret"
		}
	}
	i.Locations, err = location.Open(location.Options{Allow: c.FetchAllow, Buckets: buckets, Secrets: keys})
	return i, err
}

// environmentKeys are keys of a bucket from the environment.
type environmentKeys struct{ access, secret string }

// Get returns one of the two.
func (k environmentKeys) Get(_ context.Context, r secret.Ref) ([]byte, error) {
	if r.Key == "access" {
		return []byte(k.access), nil
	}
	return []byte(k.secret), nil
}

// refreshTrust writes the trust file of the data folder anew if it is not what it would be
// now, after keys were rotated or witnesses were configured. A folder without one stays so.
func (a *App) refreshTrust(ctx context.Context) error {
	name := a.cfg.path("trust.json")
	old, err := os.ReadFile(name)
	if err != nil {
		return nil //nolint:nilerr // it was moved away, to where auditors get it
	}
	trust, err := a.log.Trust(ctx)
	if caos.KindOf(err) == caos.NotFound {
		return nil
	}
	if err != nil {
		return err
	}
	text, err := trust.Marshal()
	if err != nil || bytes.Equal(text, old) {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".trust-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	if _, err = f.Write(text); err == nil {
		err = f.Chmod(0o644)
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), name)
}

// anchored lists what an evidence package gets of a log's anchors. They are opened after the
// evidence, and before anything runs.
func (a *App) anchored(ctx context.Context, origin string, size int64) ([]verify.AnchorFile, error) {
	return a.anchors.Anchors(ctx, origin, size)
}
