package app

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// The files of a data folder's tls folder. ca.pem is for clients; the keys stay here.
const (
	caFile     = "ca.pem"
	caKeyFile  = "ca.key"
	certFile   = "server.pem"
	keyFile    = "server.key"
	caYears    = 10
	certDays   = 90
	renewBelow = 30 * 24 * time.Hour
)

// serverCertificate returns the certificate for hosts from the data folder. The local
// authority and the certificate are made at first use; a certificate that is near its end
// or lacks one of the hosts is made anew. An operator's own server.pem, of another
// authority, is used as it is.
func serverCertificate(dir string, hosts []string, now time.Time) (tls.Certificate, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return tls.Certificate{}, fmt.Errorf("folder for TLS: %w", err)
	}
	ca, caKey, err := authority(dir, now)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return cert, fmt.Errorf("TLS certificate: %w", err)
	}
	if err == nil {
		leaf := cert.Leaf
		foreign := leaf.CheckSignatureFrom(ca) != nil
		missing := slices.ContainsFunc(hosts, func(h string) bool { return leaf.VerifyHostname(h) != nil })
		if foreign || !missing && leaf.NotAfter.Sub(now) > renewBelow {
			return cert, nil
		}
	}
	return issue(dir, ca, caKey, hosts, now)
}

// authority loads or makes the local certificate authority.
func authority(dir string, now time.Time) (*x509.Certificate, crypto.Signer, error) {
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, caFile), filepath.Join(dir, caKeyFile))
	if err == nil {
		return pair.Leaf, pair.PrivateKey.(crypto.Signer), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, nil, fmt.Errorf("local certificate authority: %w", err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, fmt.Errorf("key of the certificate authority: %w", err)
	}
	t := template(now, now.AddDate(caYears, 0, 0))
	t.Subject = pkix.Name{CommonName: "CAOS local authority"}
	t.IsCA, t.BasicConstraintsValid, t.MaxPathLenZero = true, true, true
	t.KeyUsage = x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, nil, fmt.Errorf("local certificate authority: %w", err)
	}
	if err := writePair(dir, caFile, caKeyFile, der, key); err != nil {
		return nil, nil, err
	}
	ca, err := x509.ParseCertificate(der)
	return ca, key, err
}

func issue(dir string, ca *x509.Certificate, caKey crypto.Signer, hosts []string, now time.Time) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("TLS key: %w", err)
	}
	t := template(now, now.AddDate(0, 0, certDays))
	t.Subject = pkix.Name{CommonName: hosts[0]}
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			t.IPAddresses = append(t.IPAddresses, ip)
		} else {
			t.DNSNames = append(t.DNSNames, h)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, key.Public(), caKey)
	if err != nil {
		return tls.Certificate{}, fmt.Errorf("TLS certificate: %w", err)
	}
	if err := writePair(dir, certFile, keyFile, der, key); err != nil {
		return tls.Certificate{}, err
	}
	return tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile))
}

// template starts an hour ago, so that a client whose clock is a little slow is not
// turned away.
func template(now, until time.Time) *x509.Certificate {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		serial = big.NewInt(now.UnixNano())
	}
	return &x509.Certificate{SerialNumber: serial, NotBefore: now.Add(-time.Hour), NotAfter: until}
}

// writePair writes the key before the certificate that names it.
func writePair(dir, cert, key string, der []byte, k *ecdsa.PrivateKey) error {
	raw, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	files := []struct {
		name string
		typ  string
		data []byte
		mode os.FileMode
	}{{key, "PRIVATE KEY", raw, 0o600}, {cert, "CERTIFICATE", der, 0o644}}
	for _, f := range files {
		text := pem.EncodeToMemory(&pem.Block{Type: f.typ, Bytes: f.data})
		tmp := filepath.Join(dir, f.name+".new")
		if err := os.WriteFile(tmp, text, f.mode); err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, f.name)); err != nil {
			return fmt.Errorf("write %s: %w", f.name, err)
		}
	}
	return nil
}

// hostsOf lists the names that the certificate is to hold: the address that is listened
// on, the one in base_url, and this machine's own.
func hostsOf(c Config) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	add := func(h string) {
		if ip := net.ParseIP(h); h == "" || ip != nil && ip.IsUnspecified() || slices.Contains(hosts, h) {
			return
		}
		hosts = append(hosts, h)
	}
	if h, _, err := net.SplitHostPort(c.Listen); err == nil {
		add(h)
	}
	if h, _, err := net.SplitHostPort(trimScheme(c.BaseURL)); err == nil {
		add(h)
	} else {
		add(trimScheme(c.BaseURL))
	}
	if h, err := os.Hostname(); err == nil {
		add(h)
	}
	return hosts
}

func trimScheme(u string) string {
	const scheme = "https://"
	if len(u) > len(scheme) && u[:len(scheme)] == scheme {
		return u[len(scheme):]
	}
	return u
}
