package location

import (
	"net"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"caos"
	"caos/internal/secret"
)

// Bucket is an object store's bucket that locations may name as s3://BUCKET/….
type Bucket struct {
	Bucket         string `json:"bucket" yaml:"bucket"`
	Endpoint       string `json:"endpoint" yaml:"endpoint"`             // https://host[:port]; see PlainAllowed for http; Amazon's of the region if empty
	Region         string `json:"region" yaml:"region"`                 // us-east-1 if empty
	AccessKey      string `json:"access_key" yaml:"access_key"`         // vault:PATH#KEY; empty with SecretKey: anonymous
	SecretKey      string `json:"secret_key" yaml:"secret_key"`         // vault:PATH#KEY
	PathStyle      bool   `json:"path_style" yaml:"path_style"`         // https://host/bucket/key instead of https://bucket.host/key
	Project        string `json:"project" yaml:"project"`               // whose pipelines may use it; empty: all
	Classification string `json:"classification" yaml:"classification"` // of what is in it; Internal if empty
	Write          bool   `json:"write" yaml:"write"`                   // pipelines may publish to it
}

var (
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	regionName = regexp.MustCompile(`^[a-z0-9-]{0,64}$`)
)

// Check refuses a bucket's configuration that cannot work or would not be safe; the error's
// field is relative to the bucket. allow is "host:port" that may be reached by plain http.
func (b Bucket) Check(allow []string) error {
	bad := func(field, format string, args ...any) *caos.Error {
		return caos.Errorf(caos.Invalid, format, args...).WithField(field)
	}
	if !bucketName.MatchString(b.Bucket) || strings.Contains(b.Bucket, "..") || net.ParseIP(b.Bucket) != nil {
		return bad("bucket", "%.80q is not the name of a bucket", b.Bucket).WithHint("3 to 63 lower-case letters, digits, - and .")
	}
	if !regionName.MatchString(b.Region) {
		return bad("region", "%.80q is not the name of a region", b.Region)
	}
	if err := b.checkEndpoint(allow); err != nil {
		return err
	}
	if (b.AccessKey == "") != (b.SecretKey == "") {
		return bad("secret_key", "access_key and secret_key go together").WithHint("name both, or neither for a bucket that needs none")
	}
	for field, ref := range map[string]string{"access_key": b.AccessKey, "secret_key": b.SecretKey} {
		if ref == "" {
			continue
		}
		if _, err := secret.ParseRef(ref); err != nil {
			return caos.AsError(err).WithField(field)
		}
	}
	if b.Classification != "" {
		if err := caos.CheckWord("classification", b.Classification, caos.Classifications()); err != nil {
			return err
		}
	}
	if b.Write && b.AccessKey == "" {
		return bad("write", "nobody publishes to a bucket without a key").WithHint("name access_key and secret_key")
	}
	return nil
}

func (b Bucket) checkEndpoint(allow []string) error {
	if b.Endpoint == "" {
		return nil
	}
	bad := caos.Errorf(caos.Invalid, "%.100q is not an address such as https://s3.example.org", b.Endpoint).WithField("endpoint")
	u, err := url.Parse(b.Endpoint)
	switch {
	case err == nil && u.User != nil:
		return caos.Errorf(caos.Invalid, "the address carries a user name or password").WithField("endpoint").WithHint("put them into the vault and name them in access_key and secret_key")
	case err != nil || u.Hostname() == "" || u.Opaque != "" || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return bad.WithHint("scheme, host and port alone")
	case u.Scheme == "https":
	case u.Scheme == "http" && PlainAllowed(u, allow):
	case u.Scheme == "http":
		return bad.WithHint("plain http is for loopback and private addresses, and for what fetch_allow names: data and the use of keys show on the wire")
	default:
		return bad
	}
	if !b.PathStyle && net.ParseIP(u.Hostname()) != nil {
		return caos.Errorf(caos.Invalid, "an endpoint that is an address has no subdomains for buckets").WithField("path_style").WithHint("path_style: true")
	}
	return nil
}

// PlainAllowed reports whether plain http may be spoken to a host: to this machine, to a
// private address that is written as one, and to what allow names as host:port.
func PlainAllowed(u *url.URL, allow []string) bool {
	host := strings.ToLower(u.Hostname())
	if host == "localhost" || slices.ContainsFunc(allow, func(a string) bool { return strings.EqualFold(a, HostPort(u)) }) {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.IsLoopback() || ip.IsPrivate()) && !ip.Is4In6() && ip.Zone() == ""
}

// HostPort is where an address leads, with the port that its scheme implies.
func HostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"https": "443", "http": "80"}[u.Scheme]
	}
	return strings.ToLower(net.JoinHostPort(u.Hostname(), port))
}

// region is where the bucket is said to be, for signatures.
func (b Bucket) region() string {
	if b.Region == "" {
		return "us-east-1"
	}
	return b.Region
}

// usable reports why a bucket may not be used in a scope, nil if it may.
func (b Bucket) usable(write bool, s Scope) error {
	about := "the bucket " + b.Bucket
	switch {
	case b.Project != "" && b.Project != s.Project:
		return caos.Errorf(caos.Denied, "%s belongs to another project", about).WithRule("location-project").
			WithHint("use a bucket of the pipeline's project, or have an administrator share this one in caos.yaml")
	case !write && caos.Sensitivity(b.Classification) > caos.Sensitivity(s.Classification):
		return caos.Errorf(caos.Denied, "%s holds what is %s, and what reads it is less than that", about, b.Classification).WithRule("location-classification").
			WithHint("raise the pipeline's classification to %s", b.Classification)
	case write && !b.Write:
		return caos.Errorf(caos.Denied, "%s is not published to", about).WithRule("location-write").WithHint("an administrator allows it with write: true in caos.yaml")
	case write && caos.Sensitivity(s.Classification) > caos.Sensitivity(b.Classification):
		return caos.Errorf(caos.Denied, "%s is not for what is %s", about, s.Classification).WithRule("location-classification").
			WithHint("publish to a bucket of that classification")
	}
	return nil
}
