package readiness

// Reminder is something that somebody should be told about once.
type Reminder struct {
	Key            string   `json:"key"`    // names the occasion; the same occasion always has the same key
	People         []string `json:"people"` // user ids
	Roles          []string `json:"roles"`  // everybody who holds one of them
	Subject        string   `json:"subject"`
	Body           string   `json:"body"`
	Link           string   `json:"link"` // below the API's base URL
	Project        string   `json:"project"`
	Classification string   `json:"classification"`
}
