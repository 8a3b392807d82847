package app

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"caos"
	"caos/internal/codec"
	"caos/internal/location"
	"caos/internal/verify"
)

// Config is the whole configuration of a node. It is read from caos.yaml in the data
// folder, then from the environment (CAOS_ and the field's name in capitals), then from
// flags. Every field has a default that works on one machine.
type Config struct {
	Origin   string `json:"origin" yaml:"origin"`     // name of the audit log, for ever; made by init
	Listen   string `json:"listen" yaml:"listen"`     // host:port of the API
	BaseURL  string `json:"base_url" yaml:"base_url"` // how clients reach it, without a trailing slash; https://<listen> if empty
	Database string `json:"database" yaml:"database"` // postgres://…, or empty for caos.db in the data folder

	// Published is the file that checkpoints are published to. It must not lie in the data
	// folder: whoever can cut the log short must not be able to cut this short with it.
	Published    string `json:"published" yaml:"published"`
	PublishEvery string `json:"publish_every" yaml:"publish_every"` // a duration such as 1s

	// WriteBudget bounds one function of a shared write transaction: all others wait for it.
	WriteBudget string `json:"write_budget" yaml:"write_budget"` // a duration; 250ms

	FileRoots   []string `json:"file_roots" yaml:"file_roots"`     // folders that file:// addresses may name files in
	TargetRoots []string `json:"target_roots" yaml:"target_roots"` // folders that pipelines may publish to
	FetchAllow  []string `json:"fetch_allow" yaml:"fetch_allow"`   // host:port that may be fetched from although private
	MaxArtifact int64    `json:"max_artifact" yaml:"max_artifact"` // bytes of an upload; 16 GiB: models are large
	MaxEvidence int64    `json:"max_evidence" yaml:"max_evidence"` // bytes of an artifact that becomes evidence, and of what is fetched; 1 GiB
	Policies    string   `json:"policies" yaml:"policies"`         // folder of further Cedar policies

	Node        string            `json:"node" yaml:"node"`                 // this node's name; the host's if empty
	Slots       int               `json:"slots" yaml:"slots"`               // executions run at once
	MemoryBytes int64             `json:"memory_bytes" yaml:"memory_bytes"` // that the allocator may give out
	Threads     int               `json:"threads" yaml:"threads"`           // likewise
	S3          []location.Bucket `json:"s3" yaml:"s3"`                     // buckets that pipelines may read from and publish to
	Worker      string            `json:"worker" yaml:"worker"`             // path of caos-worker; beside caos, or in PATH, if empty
	Sandbox     string            `json:"sandbox" yaml:"sandbox"`           // how the worker is held: namespaces or reduced

	OpenLineageURL   string `json:"openlineage_url" yaml:"openlineage_url"`     // that lineage events are sent to; none if empty
	OpenLineageToken string `json:"openlineage_token" yaml:"openlineage_token"` // vault:PATH#KEY, sent as a bearer token

	Chain   *ChainConfig  `json:"chain,omitempty" yaml:"chain,omitempty"`     // that is recorded on; none if left out
	Anchors *AnchorConfig `json:"anchors,omitempty" yaml:"anchors,omitempty"` // of checkpoints, besides the published file
	IPFS    *IPFSConfig   `json:"ipfs,omitempty" yaml:"ipfs,omitempty"`       // node that pins passports

	PublicMetrics bool   `json:"public_metrics" yaml:"public_metrics"` // /metrics without a token
	LogLevel      string `json:"log_level" yaml:"log_level"`           // debug, info, warn, error

	DataDir string `json:"-" yaml:"-"`
}

// ConfigFile is the name of the configuration in the data folder.
const ConfigFile = "caos.yaml"

// DefaultListen is where a node listens unless told otherwise.
const DefaultListen = "127.0.0.1:8443"

// Defaults returns the configuration of a single machine.
func Defaults(dataDir string) Config {
	return Config{Listen: DefaultListen, Published: strings.TrimSuffix(filepath.Clean(dataDir), "/") + "-checkpoints.txt",
		PublishEvery: "1s", WriteBudget: "250ms", MaxArtifact: 16 << 30, MaxEvidence: 1 << 30, Slots: 32, MemoryBytes: 4 << 30, Threads: runtime.NumCPU(), Sandbox: "namespaces", LogLevel: "info", DataDir: dataDir}
}

// Load reads the configuration of a data folder that init has made.
func Load(dataDir string, env func(string) string) (Config, error) {
	abs, err := filepath.Abs(dataDir)
	if err != nil {
		return Config{}, fmt.Errorf("data folder %s: %w", dataDir, err)
	}
	c := Defaults(abs)
	text, err := os.ReadFile(filepath.Join(abs, ConfigFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, caos.Errorf(caos.NotFound, "%s is not a CAOS data folder: it has no %s", dataDir, ConfigFile).WithHint("make one with: caos init --data %s", dataDir)
	}
	if err != nil {
		return c, fmt.Errorf("read configuration: %w", err)
	}
	if err := codec.Decode(text, "application/yaml", &c, codec.DefaultLimits()); err != nil {
		e := caos.AsError(err)
		return c, caos.Errorf(e.Kind, "%s: %s", ConfigFile, e.Message).WithField(e.Field)
	}
	c.DataDir = abs
	for name, to := range map[string]*string{"CAOS_LISTEN": &c.Listen, "CAOS_BASE_URL": &c.BaseURL, "CAOS_DATABASE": &c.Database,
		"CAOS_PUBLISHED": &c.Published, "CAOS_NODE": &c.Node, "CAOS_LOG_LEVEL": &c.LogLevel, "CAOS_WRITE_BUDGET": &c.WriteBudget, "CAOS_WORKER": &c.Worker} {
		if v := env(name); v != "" {
			*to = v
		}
	}
	return c, c.Check()
}

// Check refuses a configuration that cannot work or would not be safe, naming the field.
func (c Config) Check() error {
	bad := func(field, format string, args ...any) error {
		return caos.Errorf(caos.Invalid, format, args...).WithField(field)
	}
	if err := verify.CheckOrigin(c.Origin); err != nil {
		return bad("origin", "%s", caos.AsError(err).Message)
	}
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return bad("listen", "%q is not host:port", c.Listen)
	}
	if c.BaseURL != "" {
		if u, err := url.Parse(c.BaseURL); err != nil || u.Scheme != "https" || u.Host == "" || strings.HasSuffix(c.BaseURL, "/") {
			return bad("base_url", "%q is not an https address without a trailing slash", c.BaseURL)
		}
	}
	if c.Database != "" && !strings.HasPrefix(c.Database, "postgres://") && !strings.HasPrefix(c.Database, "postgresql://") {
		return bad("database", "a database is postgres://… or left out")
	}
	if d, err := time.ParseDuration(c.WriteBudget); err != nil || d < 50*time.Millisecond || d > time.Minute {
		return bad("write_budget", "%q is not a duration between 50ms and 1m", c.WriteBudget)
	}
	if d, err := time.ParseDuration(c.PublishEvery); err != nil || d < 10*time.Millisecond || d > time.Hour {
		return bad("publish_every", "%q is not a duration between 10ms and 1h", c.PublishEvery)
	}
	rel, err := filepath.Rel(c.DataDir, c.Published)
	if c.Published == "" || err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return bad("published", "checkpoints are published to a file outside the data folder")
	}
	for field, roots := range map[string][]string{"file_roots": c.FileRoots, "target_roots": c.TargetRoots} {
		if err := c.checkRoots(field, roots); err != nil {
			return err
		}
	}
	if err := c.checkData(); err != nil {
		return err
	}
	if err := c.checkChain(); err != nil {
		return err
	}
	if c.MaxArtifact < 1 || c.MaxEvidence < 1 || c.Slots < 1 || c.Slots > 1024 || c.MemoryBytes < 0 || c.Threads < 0 {
		return bad("slots", "max_artifact, max_evidence, slots (at most 1024), memory_bytes and threads are positive")
	}
	return nil
}

// nested reports whether inner is outer or lies in it, links resolved where they can be.
func nested(inner, outer string) bool {
	for _, p := range []*string{&inner, &outer} {
		if real, err := filepath.EvalSymlinks(*p); err == nil {
			*p = real
		}
	}
	rel, err := filepath.Rel(outer, inner)
	return err == nil && filepath.IsLocal(rel)
}

// address is how clients reach the API.
func (c Config) address(listening string) string {
	if c.BaseURL != "" {
		return c.BaseURL
	}
	host, port, err := net.SplitHostPort(listening)
	if err != nil {
		return "https://" + listening
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return "https://" + net.JoinHostPort(host, port)
}

// sqlite reports whether the database is the embedded one.
func (c Config) sqlite() bool { return c.Database == "" }

func (c Config) databaseURL() string {
	if c.sqlite() {
		return "sqlite:" + c.path("caos.db")
	}
	return c.Database
}

func (c Config) path(name string) string { return filepath.Join(c.DataDir, name) }

// save writes what init was told into the data folder.
func (c Config) save() error {
	if c.Chain != nil { // a list that was left out means more than an empty one
		filled := c.Chain.filled()
		c.Chain = &filled
	}
	text, err := yaml.Marshal(c)
	if err != nil {
		return fmt.Errorf("write configuration: %w", err)
	}
	head := "# Configuration of this CAOS node. Every field: docs/configuration.md\n"
	return os.WriteFile(c.path(ConfigFile), append([]byte(head), text...), 0o600)
}

// newOrigin names the log of a new installation so that no other has the same name.
func newOrigin() string {
	var b [6]byte
	_, _ = rand.Read(b[:]) // never fails
	return "caos/" + hex.EncodeToString(b[:])
}
