package alert

import (
	"fmt"

	"caos"
	"caos/internal/db"
	"caos/internal/event"
)

// EventParked raises the alert for an event that a subscriber could not take: it is what
// event.Options.OnPark calls. All events parked for one subscriber are one alert, and a
// repetition is not announced, so a subscriber that fails at everything, this alert
// included, does not keep itself going.
func (s *Store) EventParked(tx *db.Tx, p event.Parked) error {
	_, err := s.Raise(tx, Alert{
		Kind: "EVENT", AlertType: Anomaly, Severity: High, MetricName: "event_delivery", Source: "event",
		Subject: "subscriber:" + p.Subscriber, Project: p.Event.Project, Classification: p.Event.Classification,
		CurrentValue:       Value(float64(p.Attempts)),
		AlertMessage:       fmt.Sprintf("%s could not take event %s (%s, subject %s) and went on without it: %s", p.Subscriber, p.Event.ID, p.Event.Type, p.Event.Subject, p.Error),
		RecommendedActions: []string{"read the server's log for the cause", "deliver the parked event again when the cause is gone"},
	})
	if err != nil {
		return caos.Wrap(caos.KindOf(err), err, "raise the alert for a parked event")
	}
	return nil
}
