package readiness

import "testing"

// Nobody signs what they do not see.
func TestHidden(t *testing.T) {
	for text, fine := range map[string]bool{"Show the March run": true, "Prüfung 夜間 試験": true, "نامه\u200cها": true, "e\u0301": true,
		"a\u200bb": false, "a\ufeffb": false, "a\U000e0041b": false, "a\u00adb": false, "a\u202eb": false, "a\u2066b": false, "a\u3164b": false, "a\u0085b": false, "a\x1b[31mb": false} {
		hidden := false
		for _, r := range text {
			hidden = hidden || Hidden(r)
		}
		if hidden == fine {
			t.Errorf("%+q: hidden %v", text, hidden)
		}
	}
}
