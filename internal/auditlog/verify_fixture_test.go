package auditlog

import "testing"

func clean(t testing.TB, f *fixture) {}
