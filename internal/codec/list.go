package codec

import "encoding/json"

// Listed is a list that JSON shows as [] when it is empty.
func Listed(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// ListJSON is the JSON text of a list. Strings always have one.
func ListJSON(list []string) string {
	text, err := json.Marshal(Listed(list))
	if err != nil {
		return "[]"
	}
	return string(text)
}
