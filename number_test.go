package caos

import "testing"

func TestGroupDigits(t *testing.T) {
	for number, want := range map[string]string{"": "", "0": "0", "999": "999", "1000": "1,000", "-999": "-999", "-1000": "-1,000", "123456": "123,456",
		"9223372036854775807": "9,223,372,036,854,775,807", "-9223372036854775808": "-9,223,372,036,854,775,808"} {
		if got := GroupDigits(number); got != want {
			t.Errorf("%s: %s, want %s", number, got, want)
		}
	}
}
