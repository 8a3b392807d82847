package report

import (
	"reflect"
	"strings"
	"time"
)

// evil are texts that have broken documents before.
var evil = []string{
	`</td></table><script>alert(1)</script><img src=x onerror=alert(2)>`,
	"\x00\x01\x1b[31mred\x07\u202Eesrever\u2066 \u200Bhidden\uFEFF\u061C",
	strings.Repeat("Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft", 6),
	strings.Repeat("A note with many words that goes on and on. ", 90),
	"line one\nline two\r\nline three\u2028line four\n\n\n\nlast",
	"日本語 العربية עברית 😀 Ω ≤ ≥ × → Łódź Ελλάδα Москва",
	"x\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301 zalgo \xff\xfe broken",
	`"'<>&{{.}}${x}%s%n\(parens\) ]]> --> */ }`,
	"`unclosed` code ` here",
	"javascript:alert(1)",
}

// hostile is a review in which every text is evil.
func hostile() *Review {
	r := sample(afterConditions)
	n := 0
	spoil(reflect.ValueOf(r).Elem(), &n)
	return r
}

func spoil(v reflect.Value, n *int) {
	switch v.Kind() {
	case reflect.String:
		*n++
		v.SetString(evil[*n%len(evil)])
	case reflect.Slice:
		for i := range v.Len() {
			spoil(v.Index(i), n)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			spoil(v.Field(i), n)
		}
	}
}
