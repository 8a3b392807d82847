package app

import (
	"fmt"
	"net/url"
	"path/filepath"

	"caos"
	"caos/internal/location"
	"caos/internal/secret"
)

// Sandboxes are the ways in which the worker is held, the stricter first.
func Sandboxes() []string { return []string{"namespaces", "reduced"} }

// checkRoots refuses folders from which files could reach the keys, or into which what is
// published could overwrite them.
func (c Config) checkRoots(field string, roots []string) error {
	for i, r := range roots {
		e := caos.Errorf(caos.Invalid, "").WithField(fmt.Sprintf("%s[%d]", field, i))
		switch {
		case !filepath.IsAbs(r):
			e.Message = fmt.Sprintf("%q is not an absolute path", r)
		case nested(r, c.DataDir) || nested(c.DataDir, r):
			e.Message = fmt.Sprintf("%q and the data folder, which has the keys, lie inside each other", r)
		default:
			continue
		}
		return e
	}
	return nil
}

// checkData refuses settings of the data layer that cannot work or would not be safe.
func (c Config) checkData() error {
	seen := map[string]int{}
	for i, b := range c.S3 {
		if err := b.Check(c.FetchAllow); err != nil {
			e := caos.AsError(err)
			return e.WithField(fmt.Sprintf("s3[%d].%s", i, e.Field))
		}
		if at, twice := seen[b.Bucket]; twice {
			return caos.Errorf(caos.Invalid, "the bucket %q is s3[%d] already", b.Bucket, at).WithField(fmt.Sprintf("s3[%d].bucket", i))
		}
		seen[b.Bucket] = i
	}
	if c.Worker != "" && !filepath.IsAbs(c.Worker) {
		return caos.Errorf(caos.Invalid, "%q is not an absolute path", c.Worker).WithField("worker").
			WithHint("give the path of the program caos-worker, or leave it out: it is then looked for beside the server's own program and in PATH")
	}
	if err := caos.CheckWord("sandbox", c.Sandbox, Sandboxes()); err != nil {
		return err
	}
	return c.checkOpenLineage()
}

func (c Config) checkOpenLineage() error {
	if c.OpenLineageToken != "" {
		if _, err := secret.ParseRef(c.OpenLineageToken); err != nil {
			return caos.AsError(err).WithField("openlineage_token")
		}
	}
	if c.OpenLineageURL == "" {
		return nil
	}
	u, err := url.Parse(c.OpenLineageURL)
	bad := caos.Errorf(caos.Invalid, "%.100q is not an https address", c.OpenLineageURL).WithField("openlineage_url").
		WithHint("such as https://lineage.example.org/api/v1/lineage; http is for this machine and for hosts of fetch_allow")
	switch {
	case err != nil:
		return bad
	case u.User != nil || u.RawQuery != "":
		e := *bad
		e.Message = "the address carries a password or a query"
		return e.WithHint("put the token into the vault and name it in openlineage_token")
	case u.Host == "" || u.Opaque != "" || u.Fragment != "":
		return bad
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http" && location.PlainAllowed(u, c.FetchAllow):
		return nil
	}
	return bad
}

// openLineageAllow is fetch_allow with the host that lineage events go to: whoever configures
// it means it, though it be private.
func (c Config) openLineageAllow() []string {
	u, err := url.Parse(c.OpenLineageURL)
	if err != nil || u.Host == "" {
		return c.FetchAllow
	}
	return append(append([]string{}, c.FetchAllow...), location.HostPort(u))
}
