package modelfile

import (
	"encoding/binary"
	"math"
	"math/bits"
)

// elementTypes are those of ONNX's TensorProto.DataType, in its order: name and bits of one.
var elementTypes = []struct {
	name string
	bits uint64 // 0: of no fixed size
}{
	{"undefined", 0}, {"float", 32}, {"uint8", 8}, {"int8", 8}, {"uint16", 16}, {"int16", 16}, {"int32", 32}, {"int64", 64}, {"string", 0}, {"bool", 8},
	{"float16", 16}, {"double", 64}, {"uint32", 32}, {"uint64", 64}, {"complex64", 64}, {"complex128", 128}, {"bfloat16", 16}, {"float8e4m3fn", 8},
	{"float8e4m3fnuz", 8}, {"float8e5m2", 8}, {"float8e5m2fnuz", 8}, {"uint4", 4}, {"int4", 4}, {"float4e2m1", 4}, {"float8e8m0", 8}, {"uint2", 2}, {"int2", 2},
}

func elementName(n uint64) string {
	if n < uint64(len(elementTypes)) {
		return elementTypes[n].name
	}
	return "type " + itoa(int64(n))
}

// tensor reads a TensorProto: its size, where its data lies, and whether they are numbers.
// Only a weight counts as one; the others are constants of nodes.
func (o *onnxReader) tensor(m *message, weight bool) error {
	count, typ := uint64(1), uint64(0)
	var name string
	var raw, floats, doubles *field
	external := false
	var places []string
	for {
		f, ok, err := m.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		switch {
		case f.number == 1 && f.wire == wireVarint:
			count = times(count, f.value)
		case f.number == 1 && f.wire == wireBytes:
			if err := m.packed(f, func(v uint64) { count = times(count, v) }); err != nil {
				return err
			}
		case f.number == 2 && f.wire == wireVarint:
			typ = f.value
		case f.number == 4 && f.wire == wireBytes:
			floats = &f
		case f.number == 8 && f.wire == wireBytes:
			name = m.text(f)
		case f.number == 9 && f.wire == wireBytes:
			raw = &f
		case f.number == 10 && f.wire == wireBytes:
			doubles = &f
		case f.number == 13 && f.wire == wireBytes:
			key, value, err := pairs(m.sub(f))
			if err != nil {
				return err
			}
			if key == "location" {
				places = append(places, clip(value, 500))
			}
		case f.number == 14 && f.wire == wireVarint:
			external = f.value == 1
		}
	}
	elements := &o.Constants
	if weight {
		o.Initializers++
		elements = &o.Parameters
	}
	*elements = int64(min(uint64(*elements)+min(count, math.MaxInt64), math.MaxInt64))
	if _, ok := o.names[name]; ok && weight {
		o.names[name] = true
	}
	if external {
		o.elsewhere(places)
		return nil
	}
	if raw != nil && typ < uint64(len(elementTypes)) && elementTypes[typ].bits > 0 {
		high, low := bits.Mul64(count, elementTypes[typ].bits)
		if need := low/8 + min(low%8, 1); (high != 0 || need != uint64(raw.to-raw.from)) && len(o.badTensors) < 10 {
			o.badTensors = append(o.badTensors, clip(name, 200))
		}
		o.numbers(*raw, elementTypes[typ].name)
	}
	if floats != nil {
		o.numbers(*floats, "float")
	}
	if doubles != nil {
		o.numbers(*doubles, "double")
	}
	return nil
}

// elsewhere notes the files that hold a tensor. A tensor that says it is elsewhere and not
// where is noted too.
func (o *onnxReader) elsewhere(places []string) {
	if len(places) == 0 {
		places = []string{""}
	}
	for _, p := range places {
		known := false
		for _, have := range o.External {
			known = known || have == p
		}
		if !known && len(o.External) < maxListed {
			o.External = append(o.External, p)
		}
	}
}

// times multiplies and stays at the largest number when that is passed.
func times(a, b uint64) uint64 {
	high, low := bits.Mul64(a, b)
	if high != 0 {
		return math.MaxUint64
	}
	return low
}

// packed reads the numbers of a packed field.
func (m *message) packed(f field, fn func(uint64)) error {
	for p := m.sub(f); p.at < p.end; {
		if *p.budget--; *p.budget < 0 {
			return malformed(p.at, "more fields than a model has")
		}
		v, err := p.varint()
		if err != nil {
			return err
		}
		fn(v)
	}
	return nil
}

// numbers counts what is not finite in a span of little-endian floating-point numbers.
func (o *onnxReader) numbers(f field, typ string) {
	var wide int
	var special func(b []byte) (exponent, fraction bool)
	switch typ {
	case "float":
		wide, special = 4, func(b []byte) (bool, bool) {
			v := binary.LittleEndian.Uint32(b)
			return v&0x7f800000 == 0x7f800000, v&0x7fffff != 0
		}
	case "double":
		wide, special = 8, func(b []byte) (bool, bool) {
			v := binary.LittleEndian.Uint64(b)
			return v&0x7ff<<52 == 0x7ff<<52, v&(1<<52-1) != 0
		}
	case "float16":
		wide, special = 2, func(b []byte) (bool, bool) {
			v := binary.LittleEndian.Uint16(b)
			return v&0x7c00 == 0x7c00, v&0x3ff != 0
		}
	case "bfloat16":
		wide, special = 2, func(b []byte) (bool, bool) {
			v := binary.LittleEndian.Uint16(b)
			return v&0x7f80 == 0x7f80, v&0x7f != 0
		}
	default:
		return
	}
	for at := f.from; at < f.to; {
		b := o.w.peek(at, int(min(f.to-at, int64(len(o.w.buf)))))
		if len(b) < wide {
			return
		}
		for ; len(b) >= wide; b, at = b[wide:], at+int64(wide) {
			if all, fraction := special(b); all && fraction {
				o.NotANumber++
			} else if all {
				o.Infinite++
			}
		}
	}
}
