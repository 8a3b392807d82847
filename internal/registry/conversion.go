package registry

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"caos"
	"caos/internal/codec"
	"caos/internal/db"
)

const (
	maxConversions = 1000     // of a version
	maxParameters  = 16 << 10 // bytes of a conversion's parameters as JSON
)

// Conversion says how one artifact of a version was made from another.
type Conversion struct {
	ModelID     string         `json:"model_id"`
	Version     string         `json:"version"`
	From        string         `json:"from"` // artifact name
	To          string         `json:"to"`   // artifact name
	FromDigest  string         `json:"from_digest"`
	ToDigest    string         `json:"to_digest"`
	Tool        string         `json:"tool"`
	ToolVersion string         `json:"tool_version"`
	Parameters  map[string]any `json:"parameters"`
	Equivalence string         `json:"equivalence"` // id of the document or evidence that shows that both compute the same, "" for none
	RecordedAt  time.Time      `json:"recorded_at"`
	RecordedBy  string         `json:"recorded_by"`
}

func (c *Conversion) check() error {
	if err := CheckArtifactName("from", c.From); err != nil {
		return err
	}
	if err := CheckArtifactName("to", c.To); err != nil {
		return err
	}
	if c.From == c.To {
		return caos.Errorf(caos.Invalid, "an artifact is not converted from itself").WithField("to").WithHint("name the file that the conversion made")
	}
	if strings.TrimSpace(c.Tool) == "" {
		return caos.Errorf(caos.Invalid, "the conversion names no tool").WithField("tool").WithHint("such as torch.onnx")
	}
	for _, f := range []struct{ name, v string }{{"tool", c.Tool}, {"tool_version", c.ToolVersion}} {
		if err := checkLine(f.name, f.v, maxLine); err != nil {
			return err
		}
	}
	if c.Equivalence != "" {
		if err := caos.CheckID("resource", "equivalence", c.Equivalence); err != nil {
			return err
		}
	}
	for field, digest := range map[string]string{"from_digest": c.FromDigest, "to_digest": c.ToDigest} {
		if digest != "" {
			if err := checkDigest(field, digest); err != nil {
				return err
			}
		}
	}
	return nil
}

// RecordConversion adds a conversion record to a version. Both artifacts must be there;
// digests that are left out are theirs, others are refused. The same pair again replaces the
// record. Errors: NotFound, Invalid naming the field, Conflict as for Attach.
func (r *Registry) RecordConversion(tx *db.Tx, c Conversion, by By) (*Conversion, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Parameters == nil {
		c.Parameters = map[string]any{}
	}
	params, err := codec.Canonical(c.Parameters)
	if err != nil {
		return nil, caos.AsError(err).WithField("parameters")
	}
	if len(params) > maxParameters {
		return nil, caos.Errorf(caos.TooLarge, "the parameters have more than %d bytes", maxParameters).WithField("parameters").
			WithHint("put them into a configuration artifact")
	}
	v, err := r.open(tx, c.ModelID, c.Version)
	if err != nil {
		return nil, err
	}
	if err := r.convertible(tx, &c); err != nil {
		return nil, err
	}
	c.RecordedAt, c.RecordedBy = r.now(), by.Actor
	r.touch(tx, v)
	tx.Exec(`INSERT INTO model_conversions (model_id, version, from_name, to_name, from_digest, to_digest, tool, tool_version, parameters, equivalence, recorded_at, recorded_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
		ON CONFLICT (model_id, version, from_name, to_name) DO UPDATE SET from_digest = excluded.from_digest, to_digest = excluded.to_digest, tool = excluded.tool,
			tool_version = excluded.tool_version, parameters = excluded.parameters, equivalence = excluded.equivalence, recorded_at = excluded.recorded_at,
			recorded_by = excluded.recorded_by`,
		c.ModelID, c.Version, c.From, c.To, c.FromDigest, c.ToDigest, c.Tool, c.ToolVersion, string(params), c.Equivalence, db.Micros(c.RecordedAt), c.RecordedBy)
	return &c, r.recordVersion(tx, by, v, note{Event: "conversion recorded", Details: map[string]any{
		"from": c.From, "to": c.To, "from_digest": c.FromDigest, "to_digest": c.ToDigest, "tool": c.Tool, "tool_version": c.ToolVersion,
		"equivalence": c.Equivalence, "revision": v.Revision,
	}})
}

// convertible checks that both ends are artifacts with the stated digests, fills digests
// that are left out, and refuses circles and too many records.
func (r *Registry) convertible(tx *db.Tx, c *Conversion) error {
	digests := map[string]string{}
	err := tx.Query(`SELECT name, digest FROM model_artifacts WHERE model_id = $1 AND version = $2 AND name IN ($3, $4)`,
		[]any{c.ModelID, c.Version, c.From, c.To}, func(scan func(...any) error) error {
			var name, digest string
			err := scan(&name, &digest)
			digests[name] = digest
			return err
		})
	if err != nil {
		return err
	}
	for _, end := range []struct {
		field, name string
		digest      *string
	}{{"from", c.From, &c.FromDigest}, {"to", c.To, &c.ToDigest}} {
		digest, ok := digests[end.name]
		if !ok {
			return caos.Errorf(caos.NotFound, "%s has no artifact %s", VersionKey(c.ModelID, c.Version), end.name).WithField(end.field).WithHint("attach it first")
		}
		if *end.digest != "" && *end.digest != digest {
			return caos.Errorf(caos.Invalid, "the artifact %s has the digest %s", end.name, digest).WithField(end.field + "_digest").
				WithHint("the conversion was made from or into other bytes than those attached")
		}
		*end.digest = digest
	}
	made := map[string][]string{}
	n := 0
	err = tx.Query(`SELECT from_name, to_name FROM model_conversions WHERE model_id = $1 AND version = $2`, []any{c.ModelID, c.Version}, func(scan func(...any) error) error {
		var from, to string
		err := scan(&from, &to)
		made[from] = append(made[from], to)
		n++
		return err
	})
	if err != nil {
		return err
	}
	if n >= maxConversions && !slices.Contains(made[c.From], c.To) {
		return caos.Errorf(caos.TooLarge, "%s has %d conversion records, more are not kept", VersionKey(c.ModelID, c.Version), maxConversions).WithField("to")
	}
	if leads(made, c.To, c.From) {
		return caos.Errorf(caos.Invalid, "%s was itself made from %s, by the conversions recorded", c.From, c.To).WithField("from").
			WithHint("correct the direction")
	}
	return nil
}

// leads reports whether conversions lead from one artifact to another.
func leads(made map[string][]string, from, to string) bool {
	seen := map[string]bool{from: true}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		for _, next := range made[queue[0]] {
			if next == to {
				return true
			}
			if !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
	return false
}

const conversionColumns = `model_id, version, from_name, to_name, from_digest, to_digest, tool, tool_version, parameters, equivalence, recorded_at, recorded_by`

func conversions(q query, modelID, version string) ([]*Conversion, error) {
	if _, err := getVersion(q, modelID, version); err != nil {
		return nil, err
	}
	return conversionsOf(q, modelID, version)
}

// conversionsOf lists the conversion records of a version that is there.
func conversionsOf(q query, modelID, version string) ([]*Conversion, error) {
	out := []*Conversion{}
	err := q(`SELECT `+conversionColumns+` FROM model_conversions WHERE model_id = $1 AND version = $2`, []any{modelID, version},
		func(scan func(...any) error) error {
			var c Conversion
			var params string
			var at int64
			if err := scan(&c.ModelID, &c.Version, &c.From, &c.To, &c.FromDigest, &c.ToDigest, &c.Tool, &c.ToolVersion, &params, &c.Equivalence, &at, &c.RecordedBy); err != nil {
				return err
			}
			c.RecordedAt = db.Moment(at)
			if err := json.Unmarshal([]byte(params), &c.Parameters); err != nil {
				return fmt.Errorf("registry: read parameters of a conversion: %w", err)
			}
			out = append(out, &c)
			return nil
		})
	slices.SortFunc(out, func(a, b *Conversion) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return out, err
}

// Conversions lists the conversion records of a version by names, all of them, or returns a
// NotFound error.
func (r *Registry) Conversions(ctx context.Context, modelID, version string) ([]*Conversion, error) {
	return conversions(r.pool(ctx), modelID, version)
}

// ConversionsIn lists them as a transaction sees them.
func (r *Registry) ConversionsIn(tx *db.Tx, modelID, version string) ([]*Conversion, error) {
	return conversions(within(tx), modelID, version)
}
