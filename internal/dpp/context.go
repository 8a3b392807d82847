package dpp

import (
	_ "embed"
	"maps"
	"slices"
)

var (
	//go:embed contexts/credentials-v2.jsonld
	credentialsV2 []byte
	//go:embed contexts/passport-v1.jsonld
	passportV1 []byte
	//go:embed contexts/passport-v2.jsonld
	passportV2 []byte
)

// Contexts returns the JSON-LD contexts that passports use, by the name under which they
// are served below /contexts/.
func Contexts() map[string][]byte {
	return map[string][]byte{"credentials-v2": slices.Clone(credentialsV2), "passport-v1": slices.Clone(passportV1), "passport-v2": slices.Clone(passportV2)}
}

// ContextNames lists the names of Contexts in order.
func ContextNames() []string { return slices.Sorted(maps.Keys(Contexts())) }
