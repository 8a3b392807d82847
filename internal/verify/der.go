package verify

import (
	"encoding/asn1"
	"errors"
)

// der reads the elements of a DER value one after another. encoding/asn1 alone would let
// further elements at the end of a SEQUENCE through and forget them; with der whoever reads
// says what may stand where, and that nothing follows. The first thing that does not fit
// sticks, so that callers need to look once.
type der struct {
	rest []byte
	err  error
}

var errDER = errors.New("is not the DER that belongs there")

// universal is a tag of ASN.1 itself, tagged one that the type at hand gives: [0], [1] …
func universal(tag int) asn1.RawValue { return asn1.RawValue{Class: asn1.ClassUniversal, Tag: tag} }
func tagged(tag int) asn1.RawValue {
	return asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: tag}
}

// is reports whether the next element has a tag.
func (d *der) is(want asn1.RawValue) bool {
	if d.err != nil || len(d.rest) == 0 {
		return false
	}
	var v asn1.RawValue
	_, err := asn1.Unmarshal(d.rest, &v)
	return err == nil && v.Class == want.Class && v.Tag == want.Tag
}

// next takes the next element, which must have a tag and be compound or not.
func (d *der) next(want asn1.RawValue, compound bool) (v asn1.RawValue) {
	if d.err != nil {
		return v
	}
	rest, err := asn1.Unmarshal(d.rest, &v) // checks that lengths are in their shortest form
	if err != nil || v.Class != want.Class || v.Tag != want.Tag || v.IsCompound != compound {
		d.err = errDER
		return asn1.RawValue{}
	}
	d.rest = rest
	return v
}

// inside opens the next element, a compound one; its error comes back with done.
func (d *der) inside(want asn1.RawValue) *der {
	v := d.next(want, true)
	return &der{rest: v.Bytes, err: d.err}
}

func (d *der) sequence() *der { return d.inside(universal(asn1.TagSequence)) }
func (d *der) set() *der      { return d.inside(universal(asn1.TagSet)) }

// into reads the next element, which is not compound, as asn1 understands it.
func (d *der) into(tag int, to any, params string) {
	v := d.next(universal(tag), false)
	if d.err != nil {
		return
	}
	if rest, err := asn1.UnmarshalWithParams(v.FullBytes, to, params); err != nil || len(rest) > 0 {
		d.err = errDER
	}
}

// oid reads an object identifier and returns it dotted.
func (d *der) oid() string {
	var id asn1.ObjectIdentifier
	d.into(asn1.TagOID, &id, "")
	return id.String()
}

func (d *der) octets() []byte { return d.next(universal(asn1.TagOctetString), false).Bytes }

func (d *der) small() (n int) {
	d.into(asn1.TagInteger, &n, "")
	return n
}

// algorithm reads an AlgorithmIdentifier whose parameters are missing or NULL, as those of
// all algorithms that are accepted here are.
func (d *der) algorithm() string {
	s := d.sequence()
	id := s.oid()
	if s.is(universal(asn1.TagNull)) {
		s.next(universal(asn1.TagNull), false)
	}
	d.take(s)
	return id
}

// take ends what was opened with inside: nothing may follow in it.
func (d *der) take(inner *der) {
	if d.err == nil {
		d.err = inner.end()
	}
}

// end says what was wrong, or that something follows.
func (d *der) end() error {
	if d.err == nil && len(d.rest) > 0 {
		d.err = errDER
	}
	return d.err
}
