package contract

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"caos"
	"caos/internal/codec"
)

// What a contract may cost.
const (
	maxBytes      = 1 << 20
	maxChecks     = 1000
	maxObjects    = 200
	maxProperties = 2000 // of one object
	maxName       = 200  // bytes of a property's or an object's name
	maxList       = 10_000
	maxFindings   = 100 // of Lint
)

// document is what this package reads of the standard's document. The JSON Schema has
// checked the rest before.
type document struct {
	APIVersion  string          `json:"apiVersion"`
	ID          string          `json:"id"`
	Version     string          `json:"version"`
	Name        string          `json:"name"`
	Status      string          `json:"status"`
	Description json.RawMessage `json:"description"`
	Schema      []docObject     `json:"schema"`
}

type docObject struct {
	Name          string            `json:"name"`
	PhysicalName  string            `json:"physicalName"`
	Properties    []docProperty     `json:"properties"`
	Relationships []docRelationship `json:"relationships"`
	Quality       []docQuality      `json:"quality"`
}

type docProperty struct {
	Name               string            `json:"name"`
	PhysicalName       string            `json:"physicalName"`
	LogicalType        string            `json:"logicalType"`
	PhysicalType       string            `json:"physicalType"`
	Required           bool              `json:"required"`
	Unique             bool              `json:"unique"`
	PrimaryKey         bool              `json:"primaryKey"`
	PrimaryKeyPosition int               `json:"primaryKeyPosition"`
	Classification     string            `json:"classification"`
	Options            json.RawMessage   `json:"logicalTypeOptions"`
	Relationships      []docRelationship `json:"relationships"`
	Quality            []docQuality      `json:"quality"`
	Properties         []docProperty     `json:"properties"`
	Items              *docProperty      `json:"items"`
}

type docRelationship struct {
	From json.RawMessage `json:"from"`
	To   json.RawMessage `json:"to"`
}

// Parse reads a contract in YAML or JSON: one document of the Open Data Contract Standard
// v3.1.0, at most 1 MiB with 1,000 checks. It refuses what the standard's JSON Schema
// refuses, and then metrics, arguments, units, operators, engines and options that this
// program does not carry out. The error is a *caos.Error, Invalid or TooLarge, whose Field
// is the path of what is wrong.
func Parse(text []byte) (*Contract, error) {
	c, errs := read(text)
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return c, nil
}

// Lint says all that is wrong with a text that Parse refuses, as far as it can be told: of
// what the JSON Schema refuses nothing else is looked at. The first is the error of Parse.
// At most 100; none if Parse accepts it.
func Lint(text []byte) []*caos.Error {
	_, errs := read(text)
	out := make([]*caos.Error, 0, len(errs))
	for _, err := range errs[:min(len(errs), maxFindings)] {
		out = append(out, caos.AsError(err))
	}
	return out
}

// read is Parse with all its errors.
func read(text []byte) (*Contract, []error) {
	lim := codec.Limits{MaxBytes: maxBytes}
	media := mediaType(text)
	raw, err := codec.JSON(text, media, lim)
	if err != nil {
		return nil, []error{err}
	}
	value, err := codec.Value(text, media, lim)
	if err != nil {
		return nil, []error{err}
	}
	if errs := validateODCS(value); len(errs) > 0 {
		return nil, errs
	}
	var doc document
	if err := json.Unmarshal(raw, &doc); err != nil {
		return nil, []error{caos.Wrap(caos.Invalid, err, "the document is not a data contract")}
	}
	canonical, err := codec.Canonical(json.RawMessage(raw))
	if err != nil {
		return nil, []error{err}
	}
	c, err := newContract(&doc, fmt.Sprintf("SHA256:%x", sha256.Sum256(canonical)))
	if err != nil {
		return nil, []error{err}
	}
	return c, c.build(&doc)
}

// mediaType tells JSON from YAML by the first character: a contract is a mapping, and a
// YAML document that begins with a brace is JSON for our purposes.
func mediaType(text []byte) string {
	if bytes.HasPrefix(bytes.TrimLeft(text, " \t\r\n"), []byte("{")) {
		return "application/json"
	}
	return "application/yaml"
}

// newContract makes a contract without its objects.
func newContract(doc *document, digest string) (*Contract, error) {
	if doc.APIVersion != "v3.1.0" {
		return nil, invalid("apiVersion", "%q is not the version read here", clip(doc.APIVersion)).WithHint("write the contract as v3.1.0")
	}
	if err := caos.CheckID("document", "id", doc.ID); err != nil {
		return nil, err
	}
	if len(doc.Version) == 0 || len(doc.Version) > 40 || strings.ContainsFunc(doc.Version, notVersion) {
		return nil, invalid("version", "%q is not a version", clip(doc.Version)).WithHint("letters, digits, dots and hyphens, such as 1.0.0")
	}
	c := &Contract{ID: doc.ID, Version: doc.Version, Name: doc.Name, Status: doc.Status, Digest: digest}
	text, err := describe(doc.Description)
	if err != nil {
		return nil, err
	}
	c.Description = text
	if len(doc.Schema) == 0 {
		return nil, invalid("schema", "a contract without objects checks nothing").WithHint("describe one table: name, properties, quality")
	}
	if len(doc.Schema) > maxObjects {
		return nil, caos.Errorf(caos.TooLarge, "a contract has at most %d objects", maxObjects).WithField("schema")
	}
	return c, nil
}

// build adds the objects, and returns what is wrong with them.
func (c *Contract) build(doc *document) (errs []error) {
	total := 0
	for i := range doc.Schema {
		path := fmt.Sprintf("schema[%d]", i)
		o, wrong := buildObject(&doc.Schema[i], path, doc)
		if errs = append(errs, wrong...); o == nil {
			continue
		}
		if slices.ContainsFunc(c.Objects, func(p Object) bool { return p.Name == o.Name }) {
			errs = append(errs, invalid(path+".name", "a second object %q", clip(o.Name)))
		}
		if total += len(o.Checks); total > maxChecks {
			return append(errs, caos.Errorf(caos.TooLarge, "a contract has at most %d checks, counting those of required, unique and types", maxChecks).WithField(path))
		}
		c.Objects = append(c.Objects, *o)
	}
	return errs
}

func notVersion(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '+')
}

// describe reads the description, which the standard's schema leaves open.
func describe(raw json.RawMessage) (string, error) {
	if len(raw) == 0 {
		return "", nil
	}
	var d struct {
		Usage       string `json:"usage"`
		Purpose     string `json:"purpose"`
		Limitations string `json:"limitations"`
		Definitions any    `json:"authoritativeDefinitions"`
		Custom      any    `json:"customProperties"`
	}
	if err := decodeStrict(raw, &d, "description"); err != nil {
		return "", err
	}
	return d.Purpose, nil
}

// decodeStrict decodes a part that the standard leaves open, with its place in the document
// in front of the field of a refusal.
func decodeStrict(raw []byte, into any, path string) error {
	return at(codec.Decode(raw, "application/json", into, codec.Limits{}), path)
}

func at(err error, path string) error {
	if err == nil {
		return nil
	}
	e := caos.AsError(err)
	return e.WithField(join(path, e.Field))
}

func invalid(field, format string, args ...any) *caos.Error {
	return caos.Errorf(caos.Invalid, format, args...).WithField(field)
}

// builder makes one object: the checks of its properties in the document's order, then its own.
type builder struct {
	doc    *document
	object *Object
	given  map[string]bool // ids that the document gives, which no generated id may be
	ids    map[string]bool // ids taken
}

// buildObject makes an object and says what is wrong with it; nil if it is too wrong to look at
// its checks.
func buildObject(d *docObject, path string, doc *document) (*Object, []error) {
	o := &Object{Name: d.Name, PhysicalName: d.PhysicalName}
	if !sayable(d.Name) || len(d.Name) > maxName {
		return nil, []error{invalid(path+".name", "an object's name has 1 to %d bytes", maxName)}
	}
	if len(d.Properties) > maxProperties {
		return nil, []error{caos.Errorf(caos.TooLarge, "an object has at most %d properties", maxProperties).WithField(path + ".properties")}
	}
	b := &builder{doc: doc, object: o, given: map[string]bool{}, ids: map[string]bool{}}
	for _, q := range d.Quality {
		b.given[q.ID] = true
	}
	if err := b.properties(d.Properties, path); err != nil {
		return nil, []error{err}
	}
	var errs []error
	note := func(err error) {
		if err != nil {
			errs = append(errs, err)
		}
	}
	for i := range d.Properties {
		note(b.property(&d.Properties[i], fmt.Sprintf("%s.properties[%d]", path, i)))
	}
	note(b.primaryKey(path))
	for i := range d.Relationships {
		note(b.relationship(&d.Relationships[i], "", fmt.Sprintf("%s.relationships[%d]", path, i)))
	}
	for i := range d.Quality {
		note(b.quality(&d.Quality[i], "", fmt.Sprintf("%s.quality[%d]", path, i)))
	}
	return o, errs
}

// properties notes all names before the first check, which may name any of them.
func (b *builder) properties(list []docProperty, path string) error {
	for i, d := range list {
		at := fmt.Sprintf("%s.properties[%d]", path, i)
		if !sayable(d.Name) || len(d.Name) > maxName || len(d.PhysicalName) > maxName {
			return invalid(at+".name", "a property's name has 1 to %d bytes", maxName)
		}
		p := Property{Name: d.Name, PhysicalName: d.PhysicalName, LogicalType: d.LogicalType, PhysicalType: d.PhysicalType,
			Required: d.Required, Unique: d.Unique, PrimaryKey: d.PrimaryKey, Classification: d.Classification}
		if d.PrimaryKey {
			p.KeyPosition = max(0, d.PrimaryKeyPosition)
		}
		if b.object.property(d.Name) != nil {
			return invalid(at+".name", "a second property %q", clip(d.Name))
		}
		for j := range b.object.Properties {
			if b.object.Properties[j].Column() == p.Column() {
				return invalid(at+".physicalName", "the column %q is described twice", clip(p.Column()))
			}
		}
		b.object.Properties = append(b.object.Properties, p)
		for _, q := range d.Quality {
			b.given[q.ID] = true
		}
	}
	return nil
}

// property returns the property of that name, or nil.
func (o *Object) property(name string) *Property {
	for i := range o.Properties {
		if o.Properties[i].Name == name {
			return &o.Properties[i]
		}
	}
	return nil
}

// add appends a check under an id that no other check of the object has. An id that the
// document gives may not be given twice.
func (b *builder) add(c Check, given, path string) error {
	c.Object = b.object.Name
	if c.Severity == "" {
		c.Severity = SeverityError
	}
	if c.Weight == 0 {
		c.Weight = 1
	}
	if given != "" {
		if b.ids[given] {
			return invalid(path+".id", "a second check %q in this object", clip(given)).WithHint("ids name checks in reports: give each its own")
		}
		c.ID = given
	} else {
		base := plainID(c.Property)
		if base == "" {
			base = plainID(strings.Join(c.Properties, "-"))
		}
		c.ID = strings.TrimPrefix(base+"."+c.Metric, ".")
		for n := 2; b.ids[c.ID] || b.given[c.ID]; n++ {
			c.ID = strings.TrimPrefix(fmt.Sprintf("%s.%s-%d", base, c.Metric, n), ".")
		}
	}
	b.ids[c.ID] = true
	b.object.Checks = append(b.object.Checks, c)
	return nil
}

// plainID makes a name fit for an id: what is not a letter, digit, dot, hyphen or underscore
// becomes an underscore.
func plainID(name string) string {
	s := strings.Map(func(r rune) rune {
		if notVersion(r) && r != '_' {
			return '_'
		}
		return r
	}, name)
	if len(s) > 80 {
		s = s[:80]
	}
	return s
}
