package caos

import "slices"

// Classifications lists the levels of sensitivity, the most open first. What has none is
// Internal.
func Classifications() []string {
	return []string{"Public", "Internal", "Restricted", "Confidential", "Regulated"}
}

// Sensitivity is the place of a classification in Classifications. A word that is not among
// them is beyond the last: what cannot be read is kept from everybody.
func Sensitivity(classification string) int {
	if classification == "" {
		classification = "Internal"
	}
	if i := slices.Index(Classifications(), classification); i >= 0 {
		return i
	}
	return len(Classifications())
}

// Stricter returns the higher of two classifications, a if they are equal.
func Stricter(a, b string) string {
	if Sensitivity(b) > Sensitivity(a) {
		return b
	}
	return a
}
