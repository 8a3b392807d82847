package app

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"caos"
	"caos/internal/location"
)

// TestDataSettings refuses settings of the data layer by the name of the field.
func TestDataSettings(t *testing.T) {
	good := location.Bucket{Bucket: "lake", Endpoint: "https://s3.example.org", AccessKey: "vault:s3/lake#access", SecretKey: "vault:s3/lake#secret", Write: true}
	with := func(change func(*location.Bucket)) func(*Config) {
		return func(c *Config) { b := good; change(&b); c.S3 = []location.Bucket{b} }
	}
	for name, c := range map[string]struct {
		change func(*Config)
		field  string
	}{
		"nothing":              {func(*Config) {}, ""},
		"bucket":               {with(func(*location.Bucket) {}), ""},
		"bucket's name":        {with(func(b *location.Bucket) { b.Bucket = "No" }), "s3[0].bucket"},
		"address as bucket":    {with(func(b *location.Bucket) { b.Bucket = "10.0.0.1" }), "s3[0].bucket"},
		"plain http":           {with(func(b *location.Bucket) { b.Endpoint = "http://s3.example.org" }), "s3[0].endpoint"},
		"plain http, public":   {with(func(b *location.Bucket) { b.Endpoint, b.PathStyle = "http://8.8.8.8:9000", true }), "s3[0].endpoint"},
		"plain http, private":  {with(func(b *location.Bucket) { b.Endpoint, b.PathStyle = "http://10.1.2.3:9000", true }), ""},
		"plain http, loopback": {with(func(b *location.Bucket) { b.Endpoint = "http://localhost:9000" }), ""},
		"plain http, allowed": {func(c *Config) {
			with(func(b *location.Bucket) { b.Endpoint = "http://store:9000" })(c)
			c.FetchAllow = []string{"store:9000"}
		}, ""},
		"address, no path style": {with(func(b *location.Bucket) { b.Endpoint = "https://10.1.2.3" }), "s3[0].path_style"},
		"endpoint with password": {with(func(b *location.Bucket) { b.Endpoint = "https://u:hunter2@s3.example.org" }), "s3[0].endpoint"},
		"endpoint with path":     {with(func(b *location.Bucket) { b.Endpoint = "https://s3.example.org/lake" }), "s3[0].endpoint"},
		"another scheme":         {with(func(b *location.Bucket) { b.Endpoint = "ftp://s3.example.org" }), "s3[0].endpoint"},
		"key, not a reference":   {with(func(b *location.Bucket) { b.SecretKey = "hunter2" }), "s3[0].secret_key"},
		"half a pair":            {with(func(b *location.Bucket) { b.AccessKey = "" }), "s3[0].secret_key"},
		"anonymous writing":      {with(func(b *location.Bucket) { b.AccessKey, b.SecretKey = "", "" }), "s3[0].write"},
		"unknown classification": {with(func(b *location.Bucket) { b.Classification = "Secret" }), "s3[0].classification"},
		"region":                 {with(func(b *location.Bucket) { b.Region = "eu west" }), "s3[0].region"},
		"twice":                  {func(c *Config) { c.S3 = []location.Bucket{good, good} }, "s3[1].bucket"},
		"worker":                 {func(c *Config) { c.Worker = "./caos-worker" }, "worker"},
		"sandbox":                {func(c *Config) { c.Sandbox = "none" }, "sandbox"},
		"target root":            {func(c *Config) { c.TargetRoots = []string{"out"} }, "target_roots[0]"},
		"target root with keys":  {func(c *Config) { c.TargetRoots = []string{filepath.Dir(c.DataDir)} }, "target_roots[0]"},
		"lineage":                {func(c *Config) { c.OpenLineageURL = "https://lineage.example.org/api/v1/lineage" }, ""},
		"lineage, plain":         {func(c *Config) { c.OpenLineageURL = "http://lineage.example.org/api" }, "openlineage_url"},
		"lineage, here":          {func(c *Config) { c.OpenLineageURL = "http://127.0.0.1:5000/api" }, ""},
		"lineage, password":      {func(c *Config) { c.OpenLineageURL = "https://u:hunter2@lineage.example.org/#x" }, "openlineage_url"},
		"lineage's token":        {func(c *Config) { c.OpenLineageToken = "hunter2" }, "openlineage_token"},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := Defaults(t.TempDir())
			cfg.Origin = "caos.test/log"
			c.change(&cfg)
			err := cfg.Check()
			if (err == nil) != (c.field == "") || err != nil && caos.AsError(err).Field != c.field {
				t.Fatalf("field %q: %v", c.field, err)
			}
			if err != nil && strings.Contains(err.Error()+caos.AsError(err).Hint, "hunter2") {
				t.Errorf("a value that may be a secret is shown: %v", err)
			}
		})
	}
}

// TestDataSettingsAreRead has the settings in the file, strictly, and in the environment.
func TestDataSettingsAreRead(t *testing.T) {
	dir := t.TempDir()
	text := "origin: caos.test/log\npublished: " + filepath.Join(t.TempDir(), "p.txt") + `
target_roots: [/srv/out]
sandbox: reduced
s3:
  - bucket: lake
    endpoint: http://127.0.0.1:9000
    access_key: vault:s3/lake#access
    secret_key: vault:s3/lake#secret
    path_style: true
    write: true
`
	if err := os.WriteFile(filepath.Join(dir, ConfigFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(dir, func(name string) string { return map[string]string{"CAOS_WORKER": "/opt/caos-worker"}[name] })
	if err != nil || c.Worker != "/opt/caos-worker" || c.Sandbox != "reduced" || len(c.S3) != 1 || !c.S3[0].PathStyle || c.S3[0].Region != "" || c.TargetRoots[0] != "/srv/out" {
		t.Errorf("%+v, %v", c, err)
	}
}
