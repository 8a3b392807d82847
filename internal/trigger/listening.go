package trigger

import (
	"encoding/json"
	"fmt"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
)

// Listening returns the names of the enabled triggers that an event would make fire, in their
// order: whoever emits it can say when nobody listens. It changes nothing.
func (s *Service) Listening(tx *db.Tx, e event.Event) ([]string, error) {
	var list []*Trigger
	err := tx.Query(`SELECT `+columns+` FROM triggers WHERE kind='EVENT' AND enabled=1 ORDER BY name`, nil, func(scan func(...any) error) error {
		t, err := scanTrigger(scan)
		list = append(list, t)
		return err
	})
	if err != nil || len(list) == 0 {
		return nil, err
	}
	o := occurrence{id: e.ID, kind: e.Type, source: e.Source, subject: e.Subject, time: caos.FormatTime(e.Time), project: e.Project, classification: e.Classification}
	if _, raw := e.Data.(json.RawMessage); !raw { // as it is before it is stored
		text, err := json.Marshal(e.Data)
		if err != nil {
			return nil, fmt.Errorf("data of an event: %w", err)
		}
		e.Data = json.RawMessage(text)
	}
	if o.data, err = decodeData(e); err != nil {
		return nil, err
	}
	var names []string
	for _, t := range list {
		if !t.sees(e.Project, e.Classification) {
			continue
		}
		if c, err := s.compiledOf(t); err == nil && c.filter.match(o) {
			names = append(names, t.Name)
		}
	}
	return names, nil
}
