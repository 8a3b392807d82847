package main

import (
	"net/http"
	"strings"

	"github.com/spf13/cobra"

	"caos/internal/alert"
	"caos/internal/client"
	"caos/internal/httpapi"
)

func newAlert(e *environment) *cobra.Command {
	return parent("alert", "See and deal with alerts", alertList(e), alertShow(e), alertAck(e), alertClose(e))
}

func alertList(e *environment) *cobra.Command {
	var p paging
	var all bool
	var severity, model string
	c := &cobra.Command{
		Use: "list", Short: "List alerts that are not closed, newest first", Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cl, err := e.connect()
			if err != nil {
				return err
			}
			q := query("min_severity", strings.ToUpper(severity), "model_id", model)
			if !all {
				q.Set("unclosed", "true")
			}
			items, body, err := list[alert.Alert](c.Context(), cl, "/v1/alerts", q, p)
			if err != nil {
				return err
			}
			return e.give(body, func() {
				var rows [][]string
				for _, x := range items {
					rows = append(rows, []string{x.AlertID, string(x.Severity), string(x.State), moment(x.LastSeenAt), x.Subject, x.AlertMessage})
				}
				e.table([]string{"alert", "severity", "state", "seen", "subject", "message"}, rows)
			})
		},
	}
	p.bind(c)
	c.Flags().BoolVar(&all, "closed", false, "closed ones too")
	c.Flags().StringVar(&severity, "min-severity", "", "LOW, MEDIUM, HIGH or CRITICAL")
	c.Flags().StringVar(&model, "model", "", "of this model")
	return c
}

func alertPath(id string) string { return "/v1/alerts/" + escape(id) }

func (e *environment) alert(c *cobra.Command, call client.Call) error {
	cl, err := e.connect()
	if err != nil {
		return err
	}
	a, err := cl.Do(c.Context(), call)
	if err != nil {
		return err
	}
	var x alert.Alert
	if err := a.Decode(&x); err != nil {
		return err
	}
	return e.give(a.Body, func() {
		e.pairs(pair{"alert", x.AlertID}, pair{"type", string(x.AlertType)}, pair{"severity", string(x.Severity)}, pair{"state", string(x.State)},
			pair{"message", x.AlertMessage}, pair{"model", x.ModelID}, pair{"subject", x.Subject}, pair{"metric", x.MetricName},
			pair{"recommended", strings.Join(x.RecommendedActions, ", ")}, pair{"raised", moment(x.RaisedAt)}, pair{"last seen", moment(x.LastSeenAt)},
			pair{"acknowledged", strings.TrimSpace(when(x.AcknowledgedAt) + " " + x.AcknowledgedBy)}, pair{"closed", strings.TrimSpace(when(x.ClosedAt) + " " + x.ClosedBy)}, pair{"note", x.Note})
	})
}

func alertShow(e *environment) *cobra.Command {
	return &cobra.Command{Use: "show ALERT", Short: "Show an alert", Args: wants("ALERT"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.alert(c, client.Call{Method: http.MethodGet, Path: alertPath(args[0])})
		}}
}

func alertAck(e *environment) *cobra.Command {
	var note string
	c := &cobra.Command{Use: "ack ALERT", Short: "Say that you look after an alert", Args: wants("ALERT"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.alert(c, client.Call{Method: http.MethodPost, Path: alertPath(args[0]) + "/ack", JSON: httpapi.NoteBody{Note: note}})
		}}
	c.Flags().StringVar(&note, "note", "", "what is being done")
	return c
}

func alertClose(e *environment) *cobra.Command {
	var reason string
	c := &cobra.Command{Use: "close ALERT --reason TEXT", Short: "Say that an alert is dealt with, and how", Args: wants("ALERT"),
		RunE: func(c *cobra.Command, args []string) error {
			return e.alert(c, client.Call{Method: http.MethodPost, Path: alertPath(args[0]) + "/close", JSON: httpapi.ReasonBody{Reason: reason}})
		}}
	c.Flags().StringVar(&reason, "reason", "", "how it was dealt with")
	_ = c.MarkFlagRequired("reason")
	return c
}
