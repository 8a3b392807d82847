package auditlog

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"
)

func TestCanonicalEqualsJCS(t *testing.T) {
	for _, in := range []string{
		`{}`, `[]`, `null`, ` true `, `"x"`, `0`, `-0`, `1e3`, `1.50`, `123456789012345`, `9007199254740992`, `-9007199254740992`,
		`{"b":1,"a":2}`, `{"a":{"z":[1,2,{"y":0,"x":0}],"b":"\u00e9\/\"\\\b\f\n\r\t\u0001"},"\u20ac":1,"\ud83d\ude00":2,"\ufb33":3,"1":4,"\r":5}`,
		`{"\u0080":1,"ö":2,"</script>":3}`, `[1E-7,1e21,5e-324,0.1,1.7976931348623157e308,333333333.33333329]`,
		`{"":1,"a":2,"aa":3,"A":4}`, "{\n\t\"k\" : [ 1 , 2 ]\r}", `{"a<b>&":"<&>"}`, `{"k":"\u007f\u2028"}`,
	} {
		want, err := jcs.Transform([]byte(`{"v":` + in + `}`))
		if err != nil {
			t.Fatalf("%s: oracle: %v", in, err)
		}
		got, err := appendCanonical(nil, []byte(`{"v":`+in+`}`))
		if err != nil || string(got) != string(want) {
			t.Errorf("%s:\n got %s (%v)\nwant %s", in, got, err, want)
		}
	}
}

func TestCanonicalRefuses(t *testing.T) {
	for _, in := range []string{
		``, `{`, `[1,]`, `{"a":1,}`, `{"a" 1}`, `{a:1}`, `01`, `1.`, `.5`, `1e`, `+1`, `--1`, `-`, `nul`, `"`, `"\x"`, `"\u12"`, `"\ud800"`,
		`"\ud800x"`, `"\udc00\ud800"`, "\"\x01\"", "\"\xff\"", "\"\\n\xff\"", `{"a":1,"a":2}`, `{"b":0,"a":1,"\u0061":2}`, `1 2`, `9007199254740993`, `123456789012345678`,
		`1e999`, `1e20`, strings.Repeat("[", 65) + strings.Repeat("]", 65), `{"a":1}}`, `[1 2]`, `NaN`,
	} {
		if got, err := appendCanonical(nil, []byte(in)); err == nil {
			t.Errorf("%q became %s", in, got)
		}
	}
}

func FuzzCanonical(f *testing.F) {
	f.Add([]byte(`{"b":[1,2.5e3,"\u00e9\ud83d\ude00"],"a":{"x":null}}`))
	f.Add([]byte(`{"\ufb33":1,"\ud83d\ude00":2}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := appendCanonical(nil, in)
		if err != nil {
			return
		}
		if !json.Valid(in) {
			t.Fatalf("%q is not JSON and became %q", in, got)
		}
		want, err := jcs.Transform([]byte(`{"v":` + string(in) + `}`))
		if err != nil {
			t.Skip() // the oracle refuses a few things that are JSON
		}
		if `{"v":`+string(got)+`}` != string(want) {
			t.Fatalf("%q:\n got %q\nwant %q", in, got, want)
		}
		again, err := appendCanonical(nil, got)
		if err != nil || string(again) != string(got) {
			t.Fatalf("%q is not stable: %q (%v)", got, again, err)
		}
	})
}
