package contract

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// docOptions are the logicalTypeOptions that become checks.
type docOptions struct {
	MinLength        *literal `json:"minLength"`
	MaxLength        *literal `json:"maxLength"`
	Pattern          *string  `json:"pattern"`
	Minimum          *literal `json:"minimum"`
	Maximum          *literal `json:"maximum"`
	ExclusiveMinimum *literal `json:"exclusiveMinimum"`
	ExclusiveMaximum *literal `json:"exclusiveMaximum"`
	MultipleOf       *float64 `json:"multipleOf"`
}

func optionNames() []string {
	return []string{"minLength", "maxLength", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"}
}

// property makes the checks of a property's own attributes, then those of its quality list.
func (b *builder) property(d *docProperty, path string) error {
	p := b.object.property(d.Name)
	on := func(metric string, r rule) error {
		c := Check{Property: p.Name, Properties: []string{p.Name}, Kind: KindSchema, Metric: metric, Dimension: dimensionOf(metric), rule: r}
		switch metric {
		case "present", "type":
		default:
			c.Operator, c.Bounds, c.Unit = "mustBe", []float64{0}, "rows"
		}
		return b.add(c, "", path)
	}
	var err error
	if p.LogicalType != "" || p.PhysicalType != "" {
		if !sayableText(p.PhysicalType) || len(p.PhysicalType) > 1000 {
			return invalid(path+".physicalType", "is too long")
		}
		err = on("type", rule{logical: p.LogicalType, physical: p.PhysicalType})
	} else {
		err = on("present", rule{})
	}
	if err == nil && p.Required && !p.PrimaryKey {
		err = on("required", rule{})
	}
	if err == nil && p.Unique {
		err = on("unique", rule{})
	}
	if err != nil {
		return err
	}
	if err := b.options(d, on, path); err != nil {
		return err
	}
	for i := range d.Relationships {
		if err := b.relationship(&d.Relationships[i], p.Name, path+".relationships"+index(i)); err != nil {
			return err
		}
	}
	if err := refuseNested(d, path); err != nil {
		return err
	}
	for i := range d.Quality {
		if err := b.quality(&d.Quality[i], p.Name, path+".quality"+index(i)); err != nil {
			return err
		}
	}
	return nil
}

// options makes checks of logicalTypeOptions. What cannot be checked is refused: an option
// that nobody looks at would be taken for a promise.
func (b *builder) options(d *docProperty, on func(string, rule) error, path string) error {
	if len(d.Options) == 0 {
		return nil
	}
	path += ".logicalTypeOptions"
	var names map[string]json.RawMessage
	if err := json.Unmarshal(d.Options, &names); err != nil {
		return invalid(path, "is an object")
	}
	for name := range names {
		if !slices.Contains(optionNames(), name) {
			return invalid(join(path, name), "is not checked here").WithHint("what is checked: %s", strings.Join(optionNames(), ", "))
		}
	}
	var o docOptions
	if err := decodeStrict(d.Options, &o, path); err != nil {
		return err
	}
	if o.Minimum != nil && o.ExclusiveMinimum != nil || o.Maximum != nil && o.ExclusiveMaximum != nil {
		return invalid(path, "a bound is either inclusive or exclusive")
	}
	if v := (interval{min: o.MinLength, max: o.MaxLength}); v.min != nil || v.max != nil {
		if err := v.check(path, true); err != nil {
			return err
		}
		if err := on("length", rule{interval: v}); err != nil {
			return err
		}
	}
	if o.Pattern != nil {
		if err := checkPattern(*o.Pattern, path+".pattern"); err != nil {
			return err
		}
		if err := on("pattern", rule{pattern: *o.Pattern}); err != nil {
			return err
		}
	}
	v := interval{min: o.Minimum, max: o.Maximum}
	if o.ExclusiveMinimum != nil {
		v.min, v.exMin = o.ExclusiveMinimum, true
	}
	if o.ExclusiveMaximum != nil {
		v.max, v.exMax = o.ExclusiveMaximum, true
	}
	if v.min != nil || v.max != nil {
		if err := v.check(path, false); err != nil {
			return err
		}
		if err := on("range", rule{interval: v}); err != nil {
			return err
		}
	}
	if o.MultipleOf != nil {
		return on("multipleOf", rule{multiple: *o.MultipleOf})
	}
	return nil
}

// refuseNested refuses rules inside lists and structs: they would need a scan of their own.
func refuseNested(d *docProperty, path string) error {
	var nested []docProperty
	nested = append(nested, d.Properties...)
	if d.Items != nil {
		nested = append(nested, *d.Items)
	}
	for i := range nested {
		n := &nested[i]
		if n.Required || n.Unique || n.PrimaryKey || len(n.Quality) > 0 || len(n.Relationships) > 0 || len(n.Options) > 0 {
			return invalid(path, "rules on what is inside %s are not checked here", clip(d.Name)).
				WithHint("unnest it in a transform of the pipeline, and check the result")
		}
		if err := refuseNested(n, path); err != nil {
			return err
		}
	}
	return nil
}

// primaryKey makes one check of all properties of the key together: none of them null, no
// combination twice.
func (b *builder) primaryKey(path string) error {
	var key []*Property
	for i := range b.object.Properties {
		if p := &b.object.Properties[i]; p.PrimaryKey {
			key = append(key, p)
		}
	}
	if len(key) == 0 {
		return nil
	}
	slices.SortStableFunc(key, func(x, y *Property) int { return x.KeyPosition - y.KeyPosition })
	c := Check{Kind: KindSchema, Metric: "primaryKey", Dimension: dimensionOf("primaryKey"), Operator: "mustBe", Bounds: []float64{0}, Unit: "rows"}
	for _, p := range key {
		c.Properties = append(c.Properties, p.Name)
	}
	if len(key) == 1 {
		c.Property = key[0].Name
	}
	return b.add(c, "", path)
}

// relationship makes a foreign key a check of referential integrity. property is that of a
// relationship at property level.
func (b *builder) relationship(d *docRelationship, property, path string) error {
	var from, to texts
	if err := to.UnmarshalJSON(d.To); err != nil {
		return invalid(path+".to", "is a reference or a list of them")
	}
	if property != "" {
		from = texts{property}
	} else {
		if err := from.UnmarshalJSON(d.From); err != nil {
			return invalid(path+".from", "is a reference or a list of them")
		}
		for i := range from {
			name, ok := strings.CutPrefix(from[i], b.object.Name+".")
			if !ok {
				return invalid(path+".from", "%q is not a property of %s", clip(from[i]), clip(b.object.Name)).WithHint("write %s.<property>", clip(b.object.Name))
			}
			from[i] = name
		}
	}
	if len(from) != len(to) {
		return invalid(path, "from and to have the same number of properties")
	}
	for i := range to {
		if strings.ContainsAny(to[i], "/#") {
			return invalid(path+".to", "%q is a reference by id", clip(to[i])).WithHint("write object.property")
		}
		to[i] = b.physical(to[i])
	}
	c := Check{Property: property, Kind: KindSchema, Metric: "foreignKey", Dimension: dimensionOf("foreignKey"), Operator: "mustBe", Bounds: []float64{0}, Unit: "rows"}
	p := &customParser{b: b, c: &c, path: path}
	if err := p.key(from, to); err != nil {
		return err
	}
	return b.add(c, "", path)
}

// physical translates object.property into the names that the data has, if the contract
// describes that object.
func (b *builder) physical(reference string) string {
	for i := range b.doc.Schema {
		o := &b.doc.Schema[i]
		name, ok := strings.CutPrefix(reference, o.Name+".")
		if !ok {
			continue
		}
		table := orElse(o.PhysicalName, o.Name)
		for _, p := range o.Properties {
			if p.Name == name {
				return fmt.Sprintf("%s.%s", table, orElse(p.PhysicalName, p.Name))
			}
		}
		return table + "." + name
	}
	return reference
}
