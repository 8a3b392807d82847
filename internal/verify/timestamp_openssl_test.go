package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// stampServer is a time-stamp server of openssl's.
type stampServer struct {
	t    *testing.T
	dir  string
	root *x509.Certificate
	cert *x509.Certificate
}

const stampConfig = `
[ca_ext]
basicConstraints = critical, CA:TRUE
keyUsage = critical, keyCertSign
[tsa_ext]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = critical, timeStamping
[loose_ext]
extendedKeyUsage = timeStamping
[tsa]
default_tsa = stamp
[stamp]
serial = $dir/serial
crypto_device = builtin
signer_cert = $dir/tsa.pem
certs = $dir/root.pem
signer_key = $dir/tsa.key
default_policy = 1.2.3.4.1
digests = sha1, sha256, sha384, sha512
accuracy = secs:1, millisecs:500, microsecs:100
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
`

func (s *stampServer) openssl(args ...string) []byte {
	s.t.Helper()
	c := exec.Command("openssl", args...)
	c.Dir = s.dir
	out, err := c.CombinedOutput()
	if err != nil {
		s.t.Fatalf("openssl %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// newStampServer makes keys of an algorithm; extra goes into the configuration.
func newStampServer(t *testing.T, extra string, algorithm ...string) *stampServer {
	t.Helper()
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	s := &stampServer{t: t, dir: t.TempDir()}
	conf := strings.ReplaceAll(stampConfig, "$dir", s.dir) + extra + "\n"
	for name, text := range map[string]string{"conf": conf, "serial": "01\n"} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"root", "tsa"} {
		s.openssl(append([]string{"genpkey", "-out", name + ".key"}, algorithm...)...)
		s.openssl("req", "-new", "-key", name+".key", "-subj", "/O=Example/CN="+name, "-out", name+".csr")
	}
	s.openssl("x509", "-req", "-in", "root.csr", "-key", "root.key", "-days", "400", "-extfile", "conf", "-extensions", "ca_ext", "-out", "root.pem")
	s.openssl("x509", "-req", "-in", "tsa.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "300", "-extfile", "conf", "-extensions", "tsa_ext", "-out", "tsa.pem")
	s.root, s.cert = s.read("root.pem"), s.read("tsa.pem")
	return s
}

func (s *stampServer) read(name string) *x509.Certificate {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(s.dir, name))
	if err != nil {
		s.t.Fatal(err)
	}
	b, _ := pem.Decode(text)
	c, err := x509.ParseCertificate(b.Bytes)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// stamp asks for a stamp of a message and returns the response.
func (s *stampServer) stamp(message []byte, hash string, query ...string) []byte {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, "message"), message, 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.openssl(append([]string{"ts", "-query", "-data", "message", "-" + hash, "-out", "query"}, query...)...)
	s.openssl("ts", "-reply", "-config", "conf", "-queryfile", "query", "-out", "response")
	text, err := os.ReadFile(filepath.Join(s.dir, "response"))
	if err != nil {
		s.t.Fatal(err)
	}
	return text
}

// TestOpenSSLStamps: what openssl's server makes is accepted, in every flavour that servers
// use and that we accept, and what it would not accept neither do we.
func TestOpenSSLStamps(t *testing.T) {
	message := []byte("log.test\n7\nroot\n\n— log.test sig\n")
	rsa := []string{"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"}
	curve := func(name string) []string {
		return []string{"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:" + name}
	}
	for name, c := range map[string]struct {
		extra, hash string
		algorithm   []string
		refused     string
	}{
		"RSA, SHA-256":             {"signer_digest = sha256\ness_cert_id_alg = sha256", "sha256", rsa, ""},
		"RSA, SHA-512":             {"signer_digest = sha512\ness_cert_id_alg = sha512", "sha512", rsa, ""},
		"RSA, the older attribute": {"signer_digest = sha256\ness_cert_id_alg = sha1", "sha384", rsa, ""},
		"P-256, SHA-256":           {"signer_digest = sha256\ness_cert_id_alg = sha256", "sha256", curve("P-256"), ""},
		"P-384, SHA-384":           {"signer_digest = sha384\ness_cert_id_alg = sha384", "sha384", curve("P-384"), ""},
		"a message of SHA-1":       {"signer_digest = sha256\ness_cert_id_alg = sha256", "sha1", curve("P-256"), "over a hash that is not"},
		"a signature of SHA-1":     {"signer_digest = sha1\ness_cert_id_alg = sha256", "sha256", rsa, "signed over a hash that is not"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStampServer(t, c.extra, c.algorithm...)
			response := s.stamp(message, c.hash, "-cert")
			got, err := CheckTimestamp(response, message, []*x509.Certificate{s.root})
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if time.Since(got.At).Abs() > time.Minute || got.Accuracy != 1500*time.Millisecond+100*time.Microsecond || got.Nonce == nil || got.Policy != "1.2.3.4.1" ||
				got.Server != "CN=tsa,O=Example" || got.Root != "CN=root,O=Example" {
				t.Errorf("%+v", got)
			}
			// The server's own certificate can be what is trusted.
			if _, err := CheckTimestamp(response, message, []*x509.Certificate{s.cert}); err != nil {
				t.Error(err)
			}
			// Without certificates and nonce in the answer there is still who is trusted.
			bare := s.stamp(message, c.hash, "-no_nonce")
			if got, err := CheckTimestamp(bare, message, []*x509.Certificate{s.cert}); err != nil || got.Nonce != nil {
				t.Errorf("%v %+v", err, got)
			}
			if _, err := CheckTimestamp(bare, message, []*x509.Certificate{s.root}); err == nil {
				t.Error("verified without the certificate that signed")
			}
		})
	}
}

// TestOpenSSLStampsBent changes every byte of a response, one at a time: what is still taken
// says the same time of the same message.
func TestOpenSSLStampsBent(t *testing.T) {
	s := newStampServer(t, "signer_digest = sha256\ness_cert_id_alg = sha256", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256")
	message := []byte("message")
	response := s.stamp(message, "sha256", "-cert")
	trusted := []*x509.Certificate{s.root}
	want, err := CheckTimestamp(response, message, trusted)
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for i := range response {
		for _, change := range []byte{0x01, 0x80, 0xff} {
			bent := bytes.Clone(response)
			bent[i] ^= change
			got, err := CheckTimestamp(bent, message, trusted)
			if err != nil {
				continue
			}
			taken++
			if !got.At.Equal(want.At) || got.Serial.Cmp(want.Serial) != 0 || got.Nonce.Cmp(want.Nonce) != 0 || got.Server != want.Server {
				t.Errorf("byte %d: %+v", i, got)
			}
		}
	}
	t.Logf("%d of %d changes are of bytes that nobody signs", taken, 3*len(response))
	if taken > len(response)/2 {
		t.Errorf("%d changes were taken", taken)
	}
}

// TestOpenSSLAgreesWithTestAuthority: openssl accepts what the tests' own server makes, so
// that what they bend is honest before.
func TestOpenSSLAgreesWithTestAuthority(t *testing.T) {
	if _, err := exec.LookPath("openssl"); err != nil {
		t.Skip("openssl is not installed")
	}
	a := newTestAuthority(t, nil)
	a.at = time.Now().UTC()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"message": []byte("message"), "response": a.stamp(t, []byte("message")),
		"root.pem": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.root.Raw})} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("openssl", "ts", "-verify", "-data", "message", "-in", "response", "-CAfile", "root.pem")
	c.Dir = dir
	if out, err := c.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("Verification: OK")) {
		t.Errorf("%v\n%s", err, out)
	}
}
