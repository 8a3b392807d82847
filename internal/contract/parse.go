package contract

import "caos"

type rule interface{}

// Parse reads a contract in YAML or JSON.
func Parse(text []byte) (*Contract, error) {
	return nil, caos.Errorf(caos.Internal, "not written yet")
}
